"""The verbs of the line itself, from pretraining to serving."""

from typing import Annotated

import typer
from rich.console import Console

from planogram import config, section
from planogram.cli.options import AsJson, Config, Overrides
from planogram.cli.show import print_json, show, show_engines, show_files, show_rows, show_trained

stages_app = typer.Typer()


@stages_app.command()
def pretrain(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Pretrain a language model on a shop's own text; its bundle is a backbone for finetune.

    The same `run` again goes on where it was interrupted.

    Example: planogram pretrain --config jobs/configs/pretrain.yaml --set shop=shop --set objective=masked
    """
    from planogram.pretrain import run

    show_trained(run(section.load(config.PretrainConfig, config_path, settings or ())), as_json)


@stages_app.command()
def finetune(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Fine-tune a model on a prepared shop and write a bundle.

    The same `run` again goes on where it was interrupted.

    Example: planogram finetune --config jobs/configs/finetune.yaml --set shop=shop --set train.epochs=2
    """
    from planogram.finetune import run

    show_trained(run(config.load_finetune(config_path, settings or ())), as_json)


@stages_app.command()
def tune(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Look for the best values of any configuration keys of finetune, pretrain or compress.

    The same campaign again goes on where it was interrupted; no finished trial is run again.

    Example: planogram tune --config jobs/configs/tune.yaml --set name=first --set trials=12
    """
    from planogram.tune.report import render
    from planogram.tune.run import run

    result = run(section.load(config.TuneConfig, config_path, settings or ()))
    if as_json:
        print_json(result)
    else:
        show_files(render(result), result)


@stages_app.command()
def evaluate(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Score a part of a shop with a bundle and report ranking and grading metrics.

    Example: planogram evaluate --set bundle=shop-ranker@champion --set shop=shop --set part=test
    """
    from planogram.evaluate.offline import run
    from planogram.evaluate.report import render

    result = run(section.load(config.EvaluateConfig, config_path, settings or ()))
    if as_json:
        print_json(result)
    else:
        Console().print(render(result))


@stages_app.command()
def score(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Score every query with every candidate, or the pairs of a file, into a table that is written in parts.

    The same command again goes on where it was interrupted.

    Example: planogram score --set bundle=shop-ranker@champion --set shop=shop --set pairs=pairs.csv --set out=scores
    """
    from planogram.bulk.run import run

    show(run(section.load(config.ScoreConfig, config_path, settings or ())), as_json)


@stages_app.command()
def blend(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Learn how much other signals count beside relevance, and measure the blend beside relevance alone.

    Example: planogram blend --set bundle=shop-ranker@champion --set shop=shop --set task=click --set out=blend.json
    """
    from planogram.blend import run

    show(run(section.load(config.BlendConfig, config_path, settings or ())), as_json)


@stages_app.command()
def elasticities(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Estimate how much less is bought when a price rises, and say what each estimate is confounded by.

    Example: planogram elasticities --set shop=shop --set best_sellers=200 --set weekly_price=median
    """
    from planogram.elasticity.report import render
    from planogram.elasticity.run import run

    result = run(section.load(config.ElasticityConfig, config_path, settings or ()))
    if as_json:
        print_json(result)
    else:
        show_files(render(result), result)


@stages_app.command()
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
        print_json(result | {"report": measured})
        return
    parities = result.pop("engines")
    show_rows([{"engine": name, **parity} for name, parity in parities.items()], as_json)
    show(result, as_json)
    if measured:
        show_engines(measured)


@stages_app.command()
def index(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Make the index of a shop before a server needs it: words, vectors, and what shoppers take together.

    A server of the same shop finds it; one that runs already takes it over without a pause.

    Example: planogram index --set shop=shop --set encoder=shop-encoder@champion
    """
    from planogram.serve.index.run import run
    from planogram.serve.settings import IndexConfig

    show(run(section.load(IndexConfig, config_path, settings or ())), as_json)


@stages_app.command()
def serve(config_path: Annotated[str, typer.Option("--config", help="Ray Serve YAML.")]) -> None:
    """Serve until Ctrl-C.

    Example: planogram serve --config serve_configs/local.yaml
    """
    from planogram.serve.launch import run

    run(config_path)


@stages_app.command()
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
