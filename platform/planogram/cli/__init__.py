"""The `planogram` command: every stage is one verb."""

import logging
import os
import sys

import typer
from rich.console import Console

from planogram import __version__
from planogram.cli.benchmarks import benchmark_app
from planogram.cli.data import data_app
from planogram.cli.keys import keys_app
from planogram.cli.models import models_app
from planogram.cli.prices import prices_app, reprice_app
from planogram.cli.show import escaped
from planogram.cli.stages import stages_app
from planogram.errors import PlanogramError

app = typer.Typer(
    help="What a shopper sees first: train, publish and serve models that rank and price.", no_args_is_help=True
)
app.add_typer(stages_app)
app.add_typer(data_app, name="data")
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(models_app, name="models")
app.add_typer(reprice_app)
app.add_typer(prices_app, name="prices")
app.add_typer(keys_app, name="keys")


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
        Console(stderr=True).print(f"[bold red]error[/bold red] {escaped(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


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
