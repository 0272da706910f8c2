"""`planogram data`: a shop's tables."""

from typing import Annotated

import typer
from rich.console import Console

from planogram import config, section
from planogram.cli.options import AsJson, Config, Overrides
from planogram.cli.show import print_json, show

data_app = typer.Typer(help="Bring a shop's tables in, or simulate a shop.", no_args_is_help=True)


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

    show(run(section.load(config.SimulateConfig, config_path, settings or ()), out), as_json)


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
        print_json(report.to_dict())
    else:
        Console().print(report.render())
