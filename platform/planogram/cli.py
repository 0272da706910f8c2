"""The `planogram` command: every stage is one verb."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from planogram import __version__, config, section
from planogram.errors import PlanogramError
from planogram.serve.keys_cli import keys_app

app = typer.Typer(help="What a shopper sees first: train, publish and serve ranking models.", no_args_is_help=True)
data_app = typer.Typer(help="Bring a shop's tables in, or simulate a shop.", no_args_is_help=True)
benchmark_app = typer.Typer(help="What training, engines and promotions cost, measured.", no_args_is_help=True)
models_app = typer.Typer(help="Published bundles: names, versions, aliases.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")

# More do not fit into the width of a terminal.
MOST_COLUMNS = 10
# Of a table that would be of no use in less; a terminal breaks its lines.
WIDE = 140

Config = Annotated[str | None, typer.Option("--config", help="YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one key; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the audit.")]
Alias = Annotated[str, typer.Option("--alias", help="The alias to move.")]


def main() -> None:
    """Entry point: an error of ours is a message and exit status 2, not a traceback."""
    # What these libraries say at INFO is theirs to know; what they say at WARNING still comes through.
    logging.getLogger("mlflow").setLevel("WARNING")
    logging.getLogger("alembic").setLevel("WARNING")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except PlanogramError as error:
        Console(stderr=True).print(f"[bold red]error[/bold red] {_escaped(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


@app.command()
def version() -> None:
    """Print the version.

    Example: planogram version
    """
    typer.echo(__version__)


@app.command("config")
def show_config() -> None:
    """Print every configuration key of every stage with its type, default and meaning, as Markdown.

    Example: planogram config
    """
    from planogram.reference import markdown

    typer.echo(markdown(), nl=False)


@data_app.command()
def simulate(
    out: Annotated[str, typer.Option(help="New folder.")],
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a shop whose truth is known: raw tables, a source mapping, and the hidden truth.

    Example: planogram data simulate --out raw --set products=1000 --set seed=7
    """
    from planogram.data.simulate import simulate as run

    _show(run(section.load(config.SimulateConfig, config_path, settings or ()), out), as_json)


@data_app.command()
def prepare(
    source: Annotated[str, typer.Option(help="Source mapping (YAML).")],
    path: Annotated[str, typer.Option(help="Folder with the source files.")],
    out: Annotated[str, typer.Option(help="New folder: the prepared shop.")],
    overwrite: Annotated[bool, typer.Option(help="Replace the shop at --out.")] = False,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Import source files into a shop's tables: validated, deduplicated, nothing lost.

    --set takes the keys of the cluster, such as num_cpus=2 or address=auto.

    Example: planogram data prepare --source jobs/configs/sources/online_retail.yaml --path downloads --out shop
    """
    from planogram.cluster import connect
    from planogram.data.sources import prepare as run

    with connect(section.load(config.ClusterConfig, None, settings or ())):
        report = run(source, path, out, overwrite=overwrite)
    if as_json:
        _print_json(report.to_dict())
    else:
        Console().print(report.render())


@app.command()
def pretrain(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Pretrain a language model on a shop's own text; its bundle is a backbone for finetune.

    The same `run` again goes on where it was interrupted.

    Example: planogram pretrain --config jobs/configs/pretrain.yaml --set shop=shop --set objective=masked
    """
    from planogram.pretrain import run

    result = run(section.load(config.PretrainConfig, config_path, settings or ()))
    if as_json:
        _print_json(result)
    else:
        _show_rows(result.pop("history"), as_json)
        _show(result, as_json)


@app.command()
def finetune(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Fine-tune a model on a prepared shop and write a bundle.

    The same `run` again goes on where it was interrupted.

    Example: planogram finetune --config jobs/configs/finetune.yaml --set shop=shop --set train.epochs=2
    """
    from planogram.finetune import run

    result = run(config.load_finetune(config_path, settings or ()))
    if as_json:
        _print_json(result)
    else:
        _show_rows(result.pop("history"), as_json)
        _show(result, as_json)


@app.command()
def evaluate(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Score a part of a shop with a bundle and report ranking and grading metrics.

    Example: planogram evaluate --set bundle=shop-ranker@champion --set shop=shop --set part=test
    """
    from planogram.evaluate.offline import run
    from planogram.evaluate.report import render

    result = run(section.load(config.EvaluateConfig, config_path, settings or ()))
    if as_json:
        _print_json(result)
    else:
        Console().print(render(result))


@app.command()
def blend(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Learn how much other signals count beside relevance, and measure the blend beside relevance alone.

    Example: planogram blend --set bundle=shop-ranker@champion --set shop=shop --set task=click --set out=blend.json
    """
    from planogram.blend import run

    _show(run(section.load(config.BlendConfig, config_path, settings or ())), as_json)


@app.command()
def compress(
    config_path: Config = None,
    settings: Overrides = None,
    report: Annotated[bool, typer.Option(help="At the end, measure a ranker beside the old one.")] = True,
    as_json: AsJson = False,
) -> None:
    """Export a bundle to faster engines, prune it if asked, and compare all with the trained model on held-out pairs.

    Example: planogram compress --set bundle=shop-ranker@champion --set shop=shop
    """
    from planogram.benchmark import engines
    from planogram.compress.run import run

    asked = section.load(config.CompressConfig, config_path, settings or ())
    result = run(asked)
    ranks = result["kind"] == "cross-encoder"
    measured = engines.run(engines.beside(asked, result["bundle"])) if report and ranks else None
    if as_json:
        _print_json(result | {"report": measured})
        return
    parities = result.pop("engines")
    _show_rows([{"engine": name, **parity} for name, parity in parities.items()], as_json)
    _show(result, as_json)
    if measured:
        _show_engines(measured)


@benchmark_app.command("training")
def benchmark_training(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Compare full fine-tuning with parameter-efficient methods on the same samples: quality, memory, time.

    What has run is not run again: interrupt it, or add seeds and methods, and give the command again.

    Example: planogram benchmark training --config jobs/configs/benchmark-training.yaml --set methods=[full,lora]
    """
    from planogram.benchmark.report import render
    from planogram.benchmark.training import run

    result = run(section.load(config.BenchmarkTrainingConfig, config_path, settings or ()))
    if as_json:
        _print_json(result)
    else:
        Console().print(render(result))
        typer.echo(f"{result['file']}\n{result['plot']}")


@benchmark_app.command("engines")
def benchmark_engines(
    bundle: Annotated[str | None, typer.Option(help="Stands for --set bundle=…")] = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure a compressed bundle on every engine that this machine can run: speed, size, memory, quality.

    Example: planogram benchmark engines --bundle shop-ranker@champion --set shop=shop --json
    """
    from planogram.benchmark.engines import run

    overrides = [*([f"bundle={bundle}"] if bundle else []), *(settings or ())]
    result = run(section.load(config.BenchmarkEnginesConfig, config_path, overrides))
    if as_json:
        _print_json(result)
    else:
        _show_engines(result)


@benchmark_app.command("serving")
def benchmark_serving(
    bundle: Annotated[str | None, typer.Option(help="Stands for --set bundle=…")] = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure the server beside its own engine and beside other servers of the same model.

    Example: planogram benchmark serving --bundle shop-ranker@champion --set shop=shop --set workloads=[rerank,search]
    """
    from planogram.benchmark.serving import run
    from planogram.benchmark.serving_report import render

    overrides = [*([f"bundle={bundle}"] if bundle else []), *(settings or ())]
    result = run(section.load(config.BenchmarkServingConfig, config_path, overrides))
    if as_json:
        _print_json(result)
    else:
        Console(width=max(Console().width, WIDE)).print(render(result))
        typer.echo("\n".join((result["file"], result["plot"], result["page"])))


@benchmark_app.command("reliability")
def benchmark_reliability(
    bundle: Annotated[str | None, typer.Option(help="Stands for --set bundle=…")] = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Break the server while clients ask: kill and freeze replicas, overload it, deploy it anew, let it scale.

    Example: planogram benchmark reliability --bundle shop-ranker@champion --set scenarios=[kill,overload]
    """
    from planogram.benchmark.reliability import run
    from planogram.benchmark.reliability_report import render

    overrides = [*([f"bundle={bundle}"] if bundle else []), *(settings or ())]
    result = run(section.load(config.BenchmarkReliabilityConfig, config_path, overrides))
    if as_json:
        _print_json(result)
    else:
        Console(width=max(Console().width, WIDE)).print(render(result))
        typer.echo("\n".join((result["file"], result["plot"], result["page"])))


@benchmark_app.command("promotions")
def benchmark_promotions(
    bundle: Annotated[str | None, typer.Option(help="Stands for --set bundle=…")] = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Promote good and corrupt versions in turn while clients ask, then roll back: failures and seconds.

    Example: planogram benchmark promotions --bundle shop-ranker@champion --json
    """
    from planogram.benchmark.promotions import run

    overrides = [*([f"bundle={bundle}"] if bundle else []), *(settings or ())]
    result = run(section.load(config.BenchmarkPromotionsConfig, config_path, overrides))
    if not as_json:
        _show_rows(result.pop("refused"), as_json)
    _show(result, as_json)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all models with their versions and aliases.

    Example: planogram models list
    """
    from planogram.registry.store import Registry

    registry = Registry()
    _show_rows([_row(v) for name in registry.names() for v in registry.versions(name)], as_json)


@models_app.command()
def show(reference: str, as_json: AsJson = False) -> None:
    """Verify a bundle and show its manifest.

    Example: planogram models show shop-ranker@champion
    """
    from planogram.registry.bundle import open_bundle
    from planogram.registry.store import Registry

    version = Registry().resolve(reference)
    _, manifest = open_bundle(version.path)
    _show({**_row(version), "manifest": manifest.model_dump(mode="json")}, as_json)


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

    _show(_row(Registry().publish(bundle, name, reason)), as_json)


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

    _show(_row(Registry().promote(reference, alias, reason)), as_json)


@models_app.command()
def rollback(name: str, reason: Reason, alias: Alias = "champion", as_json: AsJson = False) -> None:
    """Let an alias point again to the version before its last promotion.

    Example: planogram models rollback shop-ranker --reason "complaints about shoes"
    """
    from planogram.registry.store import Registry

    _show(_row(Registry().rollback(name, alias, reason)), as_json)


@models_app.command()
def history(name: str, as_json: AsJson = False) -> None:
    """Show who moved which alias, when and why.

    Example: planogram models history shop-ranker
    """
    from dataclasses import asdict

    from planogram.registry.store import Registry

    _show_rows([asdict(move) for move in Registry().history(name)], as_json)


@app.command()
def index(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Make the index of a shop before a server needs it: words, vectors, and what shoppers take together.

    A server of the same shop finds it; one that runs already takes it over without a pause.

    Example: planogram index --set shop=shop --set encoder=shop-encoder@champion
    """
    from planogram.serve.index.run import run
    from planogram.serve.settings import IndexConfig

    _show(run(section.load(IndexConfig, config_path, settings or ())), as_json)


@app.command()
def serve(config_path: Annotated[str, typer.Option("--config", help="Ray Serve YAML.")]) -> None:
    """Serve until Ctrl-C.

    Example: planogram serve --config serve_configs/local.yaml
    """
    from planogram.serve.launch import run

    run(config_path)


@app.command()
def demo(
    data: Annotated[
        str | None, typer.Option(envvar="DEMO_DATA", help="Prepared shop; absent: a simulated one.")
    ] = None,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop the server and return after the searches.")] = False,
    config_path: Config = None,
    settings: Overrides = None,
) -> None:
    """Run the whole line: shop, fine-tuning, evaluation, registry, server, three searches.

    Example: planogram demo --exit
    """
    from planogram.pipeline import run

    run(section.load(config.DemoConfig, config_path, settings or ()), data, exit_after)


def _show_engines(result: dict[str, Any]) -> None:
    """The table of a benchmark of engines, what it left out, and its advice."""
    from planogram.benchmark.pareto import render

    Console().print(render(result))
    for name, reason in result["left_out"].items():
        Console().print(f"[dim]left out[/dim] {_escaped(name)}: {_escaped(reason)}")
    typer.echo("\n".join((result["advice"], result["file"], result["plot"], result["page"])))


def _row(version: Any) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "digest": version.digest,
        "created_at": version.created_at,
        "path": version.path,
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result as JSON, or as a table of its keys."""
    if as_json:
        _print_json(result)
        return
    table = Table(show_header=False)
    for key, value in result.items():
        table.add_row(key, _escaped(_readable(value)))
    Console().print(table)


def _show_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json(list(rows))
        return
    if not rows:
        Console().print("none yet")
        return
    Console().print(_table(rows))


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each row, or a column where rows are few and have many keys."""
    names = list(rows[0])
    lines = [[_escaped(_readable(row.get(name, ""))) for name in names] for row in rows]
    if len(names) <= MOST_COLUMNS or len(rows) >= len(names):
        table = Table(*names)
    else:
        table = Table(show_header=False)
        lines = [[name, *values] for name, values in zip(names, zip(*lines, strict=True), strict=True)]
    for line in lines:
        table.add_row(*line)
    return table


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_readable(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
