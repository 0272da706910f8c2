"""A benchmark of pricing as a table and as pictures."""

import base64
import io
from typing import Any

from rich.console import Console
from rich.table import Table


def render(result: dict[str, Any]) -> Table:
    """A line for the model's prices, and one for each year of exploration.

    Args:
        result: what `pricing.run` returns.
    """
    table = Table(title=f"profit of {result['products']} products, share of the optimum that knows the truth")
    for name in ("prices", "share", "last quarter", "breaches", "caught"):
        table.add_column(name, justify="left" if name == "prices" else "right")
    table.add_row("of the shop, before", f"{result['share_before']:.3f}", "", "", "")
    table.add_row("of the model", f"{result['share_of_optimum']:.3f}", "", "", "")
    for name, year in result["year"].items():
        shares = (f"{year['share_of_optimum']:.3f}", f"{year['share_of_last_quarter']:.3f}")
        table.add_row(f"a year, exploration {name}", *shares, str(year["breaches"]), str(year["caught"]))
    return table


def page(result: dict[str, Any], picture: bytes) -> bytes:
    """The table and the picture as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=140)
    console.print(render(result))
    image = f'<img alt="regret" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return console.export_html().replace("</body>", f"{image}</body>").encode()


def plot(result: dict[str, Any]) -> bytes:
    """A PNG: cumulative regret by week, for each way to explore."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, year in result["year"].items():
        axes.plot(range(1, len(year["regret"]) + 1), year["regret"], label=f"exploration: {name}")
    axes.set(xlabel="week", ylabel="profit short of the optimum, cumulative", title="regret")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
