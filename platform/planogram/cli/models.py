"""`planogram models`: what is published."""

from typing import Annotated, Any

import typer

from planogram.cli.options import Alias, AsJson, Reason
from planogram.cli.show import show, show_rows

models_app = typer.Typer(help="Published bundles: names, versions, aliases.", no_args_is_help=True)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all models with their versions and aliases.

    Example: planogram models list
    """
    from planogram.registry.store import Registry

    registry = Registry()
    show_rows([_row(v) for name in registry.names() for v in registry.versions(name)], as_json)


@models_app.command("show")
def show_model(reference: str, as_json: AsJson = False) -> None:
    """Verify a bundle and show its manifest.

    Example: planogram models show shop-ranker@champion
    """
    from planogram.registry.bundle import open_bundle
    from planogram.registry.store import Registry

    version = Registry().resolve(reference)
    _, manifest = open_bundle(version.path)
    show({**_row(version), "manifest": manifest.model_dump(mode="json")}, as_json)


@models_app.command()
def publish(
    bundle: Annotated[str, typer.Argument(help="Folder of a bundle.")],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Publish a bundle as the next version of a model.

    Example: planogram models publish .planogram/runs/RUN/bundle --name shop-ranker --reason "first model"
    """
    from planogram.registry.store import Registry

    show(_row(Registry().publish(bundle, name, reason)), as_json)


@models_app.command()
def promote(
    reference: Annotated[str, typer.Argument(help="NAME:VERSION or NAME@ALIAS")],
    reason: Reason,
    alias: Alias = "champion",
    as_json: AsJson = False,
) -> None:
    """Let an alias point to a version.

    Example: planogram models promote shop-ranker:2 --alias champion --reason "NDCG@10 .86 -> .88"
    """
    from planogram.registry.store import Registry

    show(_row(Registry().promote(reference, alias, reason)), as_json)


@models_app.command()
def rollback(name: str, reason: Reason, alias: Alias = "champion", as_json: AsJson = False) -> None:
    """Let an alias point again to the version before its last promotion.

    Example: planogram models rollback shop-ranker --reason "complaints about shoes"
    """
    from planogram.registry.store import Registry

    show(_row(Registry().rollback(name, alias, reason)), as_json)


@models_app.command()
def history(name: str, as_json: AsJson = False) -> None:
    """Show who moved which alias, when and why.

    Example: planogram models history shop-ranker
    """
    from dataclasses import asdict

    from planogram.registry.store import Registry

    show_rows([asdict(move) for move in Registry().history(name)], as_json)


def _row(version: Any) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "digest": version.digest,
        "created_at": version.created_at,
        "path": version.path,
    }
