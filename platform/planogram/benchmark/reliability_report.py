"""The benchmark of reliability as a table and a picture."""

import base64
import io
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

#: what a scenario says beside what clients saw, and how it is written
OWN = {
    "kills": "{}",
    "full_strength_s": "{:.1f}",
    "out_of_rotation_s": "{:.1f}",
    "last_failure_s": "{:.1f}",
    "p99_calm_ms": "{:.0f}",
    "p99_ratio": "{:.2f}",
    "goodput": "{:.1%}",
    "only_shed": "{}",
    "normal_after_s": "{:.1f}",
    "replaced_s": "{:.1f}",
    "not_2xx": "{}",
    "grown_s": "{:.1f}",
    "shrunk_s": "{:.1f}",
    "lost": "{}",
    "inputs": "{}",
    "input_statuses": "{}",
    "drip_statuses": "{}",
    "server_errors": "{}",
    "shed_inputs": "{}",
    "same_processes": "{}",
}


def render(result: dict[str, Any]) -> Group:
    """A line for each scenario, and why others could not be played.

    Args:
        result: what `reliability.run` returns.
    """
    here = result["machine"]
    table = Table(title=f"reliability: {here['cpu']}, {here['threads']} threads a ranker")
    for name in ("scenario", "requests", "success", "wrong", "p50 ms", "p99 ms", "statuses", "measured"):
        table.add_column(name, justify="left" if name in ("scenario", "measured") else "right")
    for name, found in result["scenarios"].items():
        measured = [f"{key}: {_written(found[key], form)}" for key, form in OWN.items() if key in found]
        table.add_row(
            name,
            str(found["requests"]),
            _written(found["success"], "{:.3%}"),
            str(found["wrong"]),
            _written(found["p50_ms"], "{:.0f}"),
            _written(found["p99_ms"], "{:.0f}"),
            " ".join(f"{status}: {count}" for status, count in found["statuses"].items()),
            "\n".join(measured),
        )
    return Group(table, *(Text(f"not played: {name}: {reason}") for name, reason in result["failed"].items()))


def _written(value: Any, form: str) -> str:
    if isinstance(value, list):
        return ", ".join(_written(one, form) for one in value)
    return "never" if value is None else form.format(value)


def plot(result: dict[str, Any]) -> bytes:
    """A PNG: for each scenario the requests of every second, answered and failed."""
    from matplotlib.figure import Figure

    scenarios = result["scenarios"]
    figure = Figure(figsize=(9, 2 * len(scenarios)), layout="constrained")
    rows = figure.subplots(len(scenarios), squeeze=False)[:, 0]
    for axes, (name, found) in zip(rows, scenarios.items(), strict=True):
        seconds = [point["second"] for point in found["timeline"]]
        answered, failed = ([point[key] for point in found["timeline"]] for key in ("answered", "failed"))
        axes.bar(seconds, answered, width=1.0, color="tab:blue", label="answered")
        axes.bar(seconds, failed, width=1.0, bottom=answered, color="tab:red", label="failed")
        axes.set(title=name, ylabel="requests")
        axes.legend(fontsize=7)
    axes.set(xlabel="seconds")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def page(result: dict[str, Any], picture: bytes) -> bytes:
    """The table and the picture as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=200)
    console.print(render(result))
    image = f'<img alt="requests of every second" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return console.export_html().replace("</body>", f"{image}</body>").encode()
