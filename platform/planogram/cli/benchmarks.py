"""`planogram benchmark`: what things cost, measured."""

import typer
from rich.console import Console

from planogram import config, section
from planogram.cli.options import AsJson, Bundle, Config, Overrides
from planogram.cli.show import print_json, show, show_engines, show_files, show_rows

benchmark_app = typer.Typer(help="What training, engines and serving cost, measured.", no_args_is_help=True)


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
        print_json(result)
    else:
        Console().print(render(result))
        typer.echo(f"{result['file']}\n{result['plot']}")


@benchmark_app.command("engines")
def benchmark_engines(
    bundle: Bundle = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure a compressed bundle on every engine that this machine can run: speed, size, memory, quality.

    Example: planogram benchmark engines --bundle shop-ranker@champion --set shop=shop --json
    """
    from planogram.benchmark.engines import run

    result = run(section.load(config.BenchmarkEnginesConfig, config_path, _overrides(bundle, settings)))
    if as_json:
        print_json(result)
    else:
        show_engines(result)


@benchmark_app.command("serving")
def benchmark_serving(
    bundle: Bundle = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure the server beside its own engine and beside other servers of the same model.

    Example: planogram benchmark serving --bundle shop-ranker@champion --set shop=shop --set workloads=[rerank,search]
    """
    from planogram.benchmark.serving import run
    from planogram.benchmark.serving_report import render

    result = run(section.load(config.BenchmarkServingConfig, config_path, _overrides(bundle, settings)))
    if as_json:
        print_json(result)
    else:
        show_files(render(result), result)


@benchmark_app.command("reliability")
def benchmark_reliability(
    bundle: Bundle = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Break the server while clients ask: kill, freeze and block replicas, overload it, deploy it anew, let it scale.

    Example: planogram benchmark reliability --bundle shop-ranker@champion --set scenarios=[kill,overload]
    """
    from planogram.benchmark.reliability import run
    from planogram.benchmark.reliability_report import render

    result = run(section.load(config.BenchmarkReliabilityConfig, config_path, _overrides(bundle, settings)))
    if as_json:
        print_json(result)
    else:
        show_files(render(result), result)


@benchmark_app.command("promotions")
def benchmark_promotions(
    bundle: Bundle = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Promote good and corrupt versions in turn while clients ask, then roll back: failures and seconds.

    Example: planogram benchmark promotions --bundle shop-ranker@champion --json
    """
    from planogram.benchmark.promotions import run

    result = run(section.load(config.BenchmarkPromotionsConfig, config_path, _overrides(bundle, settings)))
    if not as_json:
        show_rows(result.pop("refused"), as_json)
    show(result, as_json)


@benchmark_app.command("pricing")
def benchmark_pricing(
    bundle: Bundle = None,
    config_path: Config = None,
    settings: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Price a simulated shop over a year: profit against the optimum that knows the truth, regret, breaches.

    Example: planogram benchmark pricing --bundle shop-demand@champion --set shop=shop --set raw=raw
    """
    from planogram.benchmark.pricing import run
    from planogram.benchmark.pricing_report import render
    from planogram.pricing.settings import BenchmarkPricingConfig

    result = run(section.load(BenchmarkPricingConfig, config_path, _overrides(bundle, settings)))
    if as_json:
        print_json(result)
    else:
        show_files(render(result), result)


def _overrides(bundle: str | None, settings: list[str] | None) -> list[str]:
    return [*([f"bundle={bundle}"] if bundle else []), *(settings or ())]
