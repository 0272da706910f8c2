"""Speed against quality of the variants of a model, as a table and as a picture."""

import base64
import io
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

# Of the best quality, what a faster variant may lose without being asked.
WORTH = 0.003
#: What variants are compared by; a shop may rank nothing, or know one class alone.
QUALITIES = {"ndcg_at_10": "NDCG@10", "auc": "AUC", "kendall_tau": "Kendall's tau"}
Row = dict[str, Any]


def render(result: dict[str, Any]) -> Table:
    """A line per variant: pairs per second at each shape, size, memory and quality.

    Args:
        result: what `engines.run` returns.
    """
    rows = result["variants"]
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    table = Table(title=f"{result['machine']['cpu']}, {result['machine']['threads']} threads")
    columns = ("variant", *(f"{shape} pairs/s" for shape in shapes), *(f"{shape} ms" for shape in shapes))
    for name in (*columns, "mixed pairs/s", "padded pairs/s", "MiB", "RSS MiB", "stall ms", "NDCG@10", "AUC", "tau"):
        table.add_column(name, justify="left" if name == "variant" else "right")
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = {row["shape"]: row for row in rows if row["variant"] == name}
        first = own[shapes[0]]
        table.add_row(
            name,
            *(f"{own[shape]['pairs_per_s']:,.0f}" for shape in shapes),
            *(f"{own[shape]['p50_ms']:,.1f}" for shape in shapes),
            f"{first['mixed_pairs_per_s']:,.0f}",
            f"{first['naive_pairs_per_s']:,.0f}",
            "" if first["size_mb"] is None else f"{first['size_mb']:,.0f}",
            f"{first['rss_mb']:,.0f}",
            f"{first['stall_ms']:.1f}",
            *("" if first[name] is None else f"{first[name]:.4f}" for name in ("ndcg_at_10", "auc")),
            f"{first['kendall_tau']:.4f}",
        )
    return table


def front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other beats in both speed and quality, from the fastest to the best."""
    ordered = sorted(rows, key=lambda row: (-row["pairs_per_s"], -quality(row)))
    best: list[Row] = []
    for row in ordered:
        if not best or quality(row) > quality(best[-1]):
            best.append(row)
    return best


def quality(row: Row) -> float:
    """The first of `QUALITIES` that there is."""
    return float(row[_quality_name(row)])


def _quality_name(row: Row) -> str:
    return next(name for name in QUALITIES if row[name] is not None)


def advise(rows: Sequence[Row], latency_ms: float | None, ndcg_floor: float | None) -> str:
    """Which variant to take, in words.

    Args:
        rows: of one shape.
        latency_ms: within which the best is asked for.
        ndcg_floor: above which the fastest is asked for. Without any bound, it is the fastest that loses at most
            `WORTH` of the best quality.
    """
    fitting = [row for row in rows if latency_ms is None or row["p50_ms"] <= latency_ms]
    floor = (
        ndcg_floor if ndcg_floor is not None else (1 - WORTH) * max(map(quality, rows)) if latency_ms is None else None
    )
    fitting = [row for row in fitting if floor is None or quality(row) >= floor]
    if not fitting:
        return "no variant is fast and good enough: allow more time, or a lower floor"
    best = max(fitting, key=quality) if floor is None else max(fitting, key=lambda row: float(row["pairs_per_s"]))
    return f"take {best['variant']}: {best['pairs_per_s']:,.0f} pairs/s at {best['shape']}, quality {quality(best):.4f}"


def page(result: dict[str, Any], plot: bytes) -> bytes:
    """The table, the picture and the advice as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=200)
    console.print(render(result))
    console.print(result["advice"])
    html = console.export_html()
    picture = f'<img alt="speed and quality" src="data:image/png;base64,{base64.b64encode(plot).decode()}">'
    return html.replace("</body>", f"{picture}</body>").encode()


def pareto_plot(rows: Sequence[Row], shape: str) -> bytes:
    """A PNG: quality over pairs per second of one shape, and the line of those that none beats."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row["shape"] == shape]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    middle = median(row["pairs_per_s"] for row in shown)
    for number, row in enumerate(sorted(shown, key=lambda row: float(row["pairs_per_s"]))):
        place = (row["pairs_per_s"], quality(row))
        axes.scatter(*place, color="tab:blue")
        # Neighbours on the axis are named on different sides, and fast ones to the left, where there is room.
        side, across = ("right", -5) if place[0] > middle else ("left", 5)
        offset = (across, 5 if number % 2 else -12)
        axes.annotate(row["variant"], place, textcoords="offset points", xytext=offset, ha=side, fontsize=8)
    best = front(shown)
    axes.plot([row["pairs_per_s"] for row in best], [quality(row) for row in best], color="tab:orange", linewidth=1)
    axes.set(xscale="log", xlabel=f"pairs per second at {shape}", ylabel=QUALITIES[_quality_name(shown[0])])
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
