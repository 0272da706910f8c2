"""What the verbs print: a result as JSON, or as a table for the eye."""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

# More do not fit into the width of a terminal.
MOST_COLUMNS = 10
# Of a table that would be of no use in less; a terminal breaks its lines.
WIDE = 140


def escaped(text: str) -> str:
    """A text that rich prints as it is."""
    return text.replace("[", r"\[")


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result as JSON, or as a table of its keys."""
    if as_json:
        print_json(result)
        return
    table = Table(show_header=False)
    for key, value in result.items():
        table.add_row(key, escaped(_readable(value)))
    Console().print(table)


def show_trained(result: dict[str, Any], as_json: bool) -> None:
    """Print what a training gave: its curve, then the rest."""
    if not as_json:
        show_rows(result.pop("history"), as_json)
    show(result, as_json)


def show_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print rows as JSON, or as one table."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        Console().print("none yet")
        return
    Console().print(_table(rows))


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each row, or a column where rows are few and have many keys."""
    names = list(rows[0])
    lines = [[escaped(_readable(row.get(name, ""))) for name in names] for row in rows]
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


def show_engines(result: dict[str, Any]) -> None:
    """The table of a benchmark of engines, what it left out, and its advice."""
    from planogram.benchmark.pareto import render

    Console().print(render(result))
    for name, reason in result["left_out"].items():
        Console().print(f"[dim]left out[/dim] {escaped(name)}: {escaped(reason)}")
    typer.echo("\n".join((result["advice"], result["file"], result["plot"], result["page"])))


def show_files(table: Any, result: dict[str, Any]) -> None:
    """Print a wide table, and where the figures, the plot and the page stand."""
    Console(width=max(Console().width, WIDE)).print(table)
    typer.echo("\n".join((result["file"], result["plot"], result["page"])))
