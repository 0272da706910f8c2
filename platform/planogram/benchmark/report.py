"""A benchmark of training as a table and as a picture for people."""

import io
from typing import Any

from rich.table import Table

# What methods are compared by, where their task has it; the first one is shown for each run, and drawn.
METRICS = ("ndcg@10", "kappa")


def render(result: dict[str, Any]) -> Table:
    """A line per method: what trains, what it took, and what it brought on the test part.

    Args:
        result: what `training.run` returns.
    """
    rows = result["methods"]
    first, *others = shown_metrics(rows)
    costs = ("method", "trainable", "share", "peak MiB", "seconds", "s / step")
    table = Table(title=f"fine-tuning on {result['shop']}")
    for name in (*costs, first, "each run", *others):
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in rows:
        peak = row["peak_memory_mb"]
        table.add_row(
            row["method"],
            f"{row['trainable_parameters']:,}",
            f"{row['trainable_share']:.2%}",
            "" if peak is None else f"{peak:,.0f}",
            f"{row['seconds']:.1f}",
            f"{row['seconds_per_step']:.3f}",
            f"{row['metrics'][first]:.4f}",
            " ".join(f"{single[first]:.4f}" for single in row["runs"]),
            *(f"{row['metrics'][name]:.4f}" for name in others),
        )
    return table


def shown_metrics(rows: list[dict[str, Any]]) -> list[str]:
    """The metrics that stand in the table; the first ones that there are where the task ranks nothing."""
    common = [name for name in rows[0]["metrics"] if all(name in row["metrics"] for row in rows)]
    return [name for name in METRICS if name in common] or common[:2]


def plot(result: dict[str, Any]) -> bytes:
    """A PNG: the first metric of each method over its share of trainable weights, on a log scale."""
    from matplotlib.figure import Figure

    rows = result["methods"]
    metric = shown_metrics(rows)[0]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        place = (row["trainable_share"], row["metrics"][metric])
        axes.scatter(*place, color="tab:blue")
        axes.scatter([place[0]] * len(row["runs"]), [single[metric] for single in row["runs"]], s=8, color="lightgray")
        axes.annotate(row["method"], place, textcoords="offset points", xytext=(5, 4), fontsize=8)
    axes.set(xscale="log", xlabel="share of weights that train", ylabel=f"{metric} on the test part")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
