"""The benchmark of serving as tables and a picture."""

import base64
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from planogram.benchmark.load.summary import Figures

CLOSED = " clients"
#: what a terminal has room for
SHORT = ("pairs/s", "of engine", "p50 ms", "p99 ms", "overhead ms", "cores", "success", "degraded", "hits")
#: heading of a column -> key of a row, and how it is written
COLUMNS = {
    "requests/s": ("answered_per_s", "{:,.1f}"),
    "pairs/s": ("pairs_per_s", "{:,.0f}"),
    "of engine": ("of_engine", "{:.0%}"),
    "p50 ms": ("p50_ms", "{:,.1f}"),
    "p95 ms": ("p95_ms", "{:,.1f}"),
    "p99 ms": ("p99_ms", "{:,.1f}"),
    "overhead ms": ("overhead_ms", "{:+,.1f}"),
    "cores": ("server_cpu", "{:.2f}"),
    "CPU ms": ("cpu_ms", "{:,.1f}"),
    "generator cores": ("generator_cpu", "{:.2f}"),
    "success": ("success", "{:.2%}"),
    "degraded": ("degraded", "{:.1%}"),
    "shed": ("shed", "{:.1%}"),
    "Retry-After": ("retry_after", "{:.0%}"),
    "normal after s": ("normal_after_s", "{:.1f}"),
    "hits": ("hit_rate", "{:.1%}"),
}


def render(result: dict[str, Any], titles: Sequence[str] = SHORT) -> Group:
    """A table for each workload, what was left out, and what the figures do not say.

    Args:
        result: what `serving.run` returns.
        titles: of `COLUMNS`; of a column without any value, nothing is shown.
    """
    rows = result["rows"]
    parts: list[Table | Text] = [
        _table(result, name, titles) for name in dict.fromkeys(row["workload"] for row in rows)
    ]
    parts += [Text(f"left out {name}: {reason}") for name, reason in result["left_out"].items()]
    return Group(*parts, *map(Text, notes(result)))


def _table(result: dict[str, Any], workload: str, titles: Sequence[str]) -> Table:
    rows = [row for row in result["rows"] if row["workload"] == workload]
    asked = {title: column for title, column in COLUMNS.items() if title in titles}
    shown = {title: column for title, column in asked.items() if any(row[column[0]] is not None for row in rows)}
    here = result["machine"]
    table = Table(title=f"{workload}: {here['cpu']}, {here['threads']} threads")
    # How long the ranker takes of a rerank, its figures show already.
    stages = any(row["stages"] for row in rows) and (workload == "search" or titles != SHORT)
    for title in ("target", "load", *shown, "other statuses", *(["stages"] if stages else [])):
        table.add_column(title, justify="left" if title in ("target", "load") else "right", no_wrap=title == "target")
    for row in rows:
        values = (form.format(row[key]) if row[key] is not None else "" for key, form in shown.values())
        parts = [" ".join(f"{name} {share:.0%}" for name, share in row["stages"].items())] if stages else []
        table.add_row(row["target"], row["load"], *values, _failures(row), *parts)
    return table


def _failures(row: Figures) -> str:
    return " ".join(f"{status}: {count}" for status, count in row["statuses"].items() if status != "200")


def notes(result: dict[str, Any]) -> list[str]:
    """What readers should know of the figures."""
    model = result["model"]
    about = [f"{model['tokens_per_pair']:.0f} tokens per pair; medians of {result['config']['rounds']} rounds."]
    if result["config"]["peers"]:
        about.append("Peers run the same backbone with a head of their own: speeds compare, scores do not.")
        if model["tower"]:
            about.append("The bundle counts matching words and has a tower beside its text, which peers do without.")
    return about


def plot(result: dict[str, Any]) -> bytes:
    """A PNG: pairs per second of each target over clients, and the engine's as a line; for the first workload."""
    from matplotlib.figure import Figure

    workload = result["rows"][0]["workload"]
    rows = [row for row in result["rows"] if row["workload"] == workload and row["load"].endswith(CLOSED)]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for target in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == target]
        clients = [int(row["load"].removesuffix(CLOSED)) for row in own]
        if target.startswith("engine/"):
            axes[0].axhline(own[0]["pairs_per_s"], linestyle="--", color="gray", linewidth=1, label=target)
            continue
        axes[0].plot(clients, [row["pairs_per_s"] for row in own], marker="o", markersize=4, label=target)
        answered = [
            (count, row["p50_ms"]) for count, row in zip(clients, own, strict=True) if row["p50_ms"] is not None
        ]
        axes[1].plot(*zip(*answered, strict=True), marker="o", markersize=4, label=target)
    axes[0].set(xlabel="clients", ylabel="pairs per second", ylim=(0, None))
    axes[1].set(xlabel="clients", ylabel="p50, ms", yscale="log")
    for one in axes:
        one.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def page(result: dict[str, Any], picture: bytes) -> bytes:
    """The whole tables and the picture as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=240)
    console.print(render(result, tuple(COLUMNS)))
    html = console.export_html()
    image = f'<img alt="speed of serving" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return html.replace("</body>", f"{image}</body>").encode()
