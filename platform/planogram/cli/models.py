"""`planogram models`: what is published."""

from typing import Annotated, Any

import typer
from rich.console import Console

from planogram import config, section
from planogram.cli.options import Alias, AsJson, Config, Overrides, Reason
from planogram.cli.show import WIDE, print_json, show, show_rows
from planogram.errors import ConfigError

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
    *,
    alias: Alias = "champion",
    gate: Annotated[str | None, typer.Option(help="Policy (YAML) that the version has to pass.")] = None,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote although rules fail; why, for the audit.")
    ] = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias point to a version, with --gate only if it passes every rule of a policy; else the status is 1.

    --set takes the keys of the policy.

    Example: planogram models promote shop-ranker:2 --gate jobs/configs/gate.yaml --reason "NDCG@10 .86 -> .88"
    """
    from planogram.registry.store import Registry

    if gate is None and (force is not None or settings):
        raise ConfigError("--force and --set are of a gate", remedy="give --gate POLICY.yaml, or leave them out")
    if gate is None:
        show(_row(Registry().promote(reference, alias, reason)), as_json)
        return
    if force is not None and not force.strip():
        raise ConfigError("--force without a reason", remedy='say why: --force "accepted by …, since …"')
    _through_gate(reference, alias, reason, section.load(config.GatePolicy, gate, settings or ()), force, as_json)


def _through_gate(
    reference: str, alias: str, reason: str, policy: config.GatePolicy, force: str | None, as_json: bool
) -> None:
    from planogram.gate.promote import promote as through
    from planogram.gate.report import as_dict, render

    outcome = through(reference, alias, reason, policy, force)
    if as_json:
        print_json(as_dict(outcome))
    else:
        Console(width=max(Console().width, WIDE)).print(render(outcome, alias))
    if not outcome.promoted:
        raise typer.Exit(1)


@models_app.command()
def report(
    reference: Annotated[str, typer.Argument(help="NAME:VERSION, NAME@ALIAS or the folder of a bundle.")],
    out: Annotated[str, typer.Option(help="HTML file.")],
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a bundle and write one page about it: figures, slices, wins and losses, robustness, lineage.

    --config and --set take the keys of evaluate. It is compared with the champion of its name, and asked for
    everything, where they do not say otherwise.

    Example: planogram models report shop-ranker:2 --out report.html --set shop=shop
    """
    from planogram.card.run import asked, run

    values = section.values_of(config_path, settings or ()) | {"bundle": reference}
    given = section.parse(config.EvaluateConfig, values, config_path or "the command line")
    result = run(asked(given, set(values)), out)
    if as_json:
        print_json(result)
    else:
        typer.echo(result["report"])


@models_app.command()
def rollback(name: str, reason: Reason, alias: Alias = "champion", as_json: AsJson = False) -> None:
    """Let an alias point again to the version before its last promotion.

    Example: planogram models rollback shop-ranker --reason "complaints about shoes"
    """
    from planogram.registry.store import Registry

    show(_row(Registry().rollback(name, alias, reason)), as_json)


@models_app.command()
def history(name: str, as_json: AsJson = False) -> None:
    """Show who moved which alias, when and why, and what a gate said of it.

    Example: planogram models history shop-ranker
    """
    from dataclasses import asdict

    from planogram.registry.store import Registry

    moves = Registry().history(name)
    show_rows([asdict(move) if as_json else move.row() for move in moves], as_json)


def _row(version: Any) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "digest": version.digest,
        "created_at": version.created_at,
        "path": version.path,
    }
