"""An evaluation as a table for people."""

from typing import Any

from rich.table import Table


def render(result: dict[str, Any]) -> Table:
    """A table of metrics with intervals, beside those of BM25.

    Args:
        result: what `offline.run` returns.
    """
    title = f"{result['bundle']} on {result['part']}: {result['examples']} pairs of {result['queries']} queries"
    table = Table("metric", "value", "95 % interval", "BM25", title=title)
    for name, value in result["metrics"].items():
        interval = result["intervals"].get(name)
        lexical = result["lexical"].get(name)
        table.add_row(
            name,
            f"{value:.4f}",
            f"{interval[0]:.4f} … {interval[1]:.4f}" if interval else "",
            f"{lexical:.4f}" if lexical is not None else "",
        )
    if floor := result.get("floor"):
        interval = floor["gain_interval"]
        table.add_row(f"auc of {floor['column']} alone", f"{floor['auc']:.4f}")
        between = f"{interval[0]:+.4f} … {interval[1]:+.4f}" if interval else ""
        table.add_row("auc above it", f"{floor['gain']:+.4f}", between)
    return table
