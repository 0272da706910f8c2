"""Elasticities as tables, as a picture and as a page for people."""

import base64
import io
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

Row = dict[str, Any]
# Of many products the ones of most rows are shown; the file has all.
MOST_PRODUCTS = 20


def render(result: dict[str, Any]) -> Group:
    """The tables of a result.

    Args:
        result: what `run` returns.
    """
    if result["kind"] == "choice":
        return Group(*(table for market in result["markets"] for table in _market_tables(market)))
    tables = [_estimators(result), _products(result["by_product"])]
    if "by_feature" in result:
        tables.append(_by_feature(result["by_feature"]))
    return Group(*tables)


def page(result: dict[str, Any], picture: bytes) -> bytes:
    """The tables and the picture as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=180)
    console.print(render(result))
    image = f'<img alt="elasticities" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return console.export_html().replace("</body>", f"{image}</body>").encode()


def plot(result: dict[str, Any]) -> bytes:
    """A PNG: estimates with their 95 % intervals and products before and after shrinking; of choices, their logits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    if result["kind"] == "choice":
        _plot_markets(left, right, result["markets"])
    else:
        _plot_intervals(left, [(row["name"], row["elasticity"], row["interval"]) for row in result["estimators"]])
        _plot_shrinking(right, result["by_product"])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _estimators(result: dict[str, Any]) -> Table:
    about = f"{result['rows']:,} rows, {result['products']:,} products, {result['periods']:,} periods"
    table = Table(
        title=f"elasticity of {result['kind']}: {about}; standard errors {result['standard_errors']}",
        caption=_caption(result),
    )
    for name in ("estimator", "elasticity", "s.e.", "95 % interval", "rows", "what it does", "confounded by"):
        table.add_column(name, justify="right" if name in ("elasticity", "s.e.", "rows") else "left")
    for row in result["estimators"]:
        table.add_row(
            row["name"],
            f"{row['elasticity']:.3f}",
            f"{row['standard_error']:.3f}",
            _interval(*row["interval"]),
            f"{row['rows']:,}",
            row["does"],
            row["confounded_by"],
        )
    return table


def _caption(result: dict[str, Any]) -> str:
    nuisance = result["nuisance"]
    lines = [
        f"predicted out of fold: {nuisance['price_r2']:.1%} of log prices, {nuisance['target_r2']:.1%} of outcomes",
        f"{result['zeros']:,} rows of 0 units have no logarithm" if result["zeros"] else "",
        *(f"not estimated: {name}, as {reason}" for name, reason in result["not_estimated"].items()),
    ]
    return escape("\n".join(line for line in lines if line))


def _products(rows: list[Row]) -> Table:
    """A line for each of the products with most rows."""
    shown = sorted(rows, key=lambda row: -int(row["rows"]))[:MOST_PRODUCTS]
    table = Table(title=f"{len(shown)} of {len(rows)} products, cross-fitted and drawn towards their category")
    for name in ("product", "category", "rows", "own", "s.e.", "shrunk", "95 % interval", "sensitivity"):
        table.add_column(name, justify="left" if name in ("product", "category") else "right")
    for row in shown:
        table.add_row(
            escape(row["product_id"]),
            escape(row.get("category", "")),
            f"{row['rows']:,}",
            *(_number(row.get(name)) for name in ("elasticity", "standard_error", "shrunk")),
            _interval(row["low"], row["high"]) if "low" in row else "",
            _number(row.get("sensitivity")),
        )
    return table


def _by_feature(rows: list[Row]) -> Table:
    names = [name for name in rows[0] if name not in ("elasticity", "standard_error")]
    table = Table(*names, "elasticity", "s.e.", title="least squares of every product at every value of the feature")
    for row in rows:
        numbers = (_number(row[name]) for name in ("elasticity", "standard_error"))
        table.add_row(*(escape(f"{row[name]}") for name in names), *numbers)
    return table


def _market_tables(market: Row) -> list[Table]:
    fit = Table(title=f"{escape(market['name'])}: {market['choices']:,} choices of {market['groups']:,} groups")
    for name in ("estimator", "nats per held-out choice", "what it does", "confounded by"):
        fit.add_column(name)
    for row in market["estimators"]:
        fit.add_row(row["name"], f"{row['nll']:.4f}", row["does"], row["confounded_by"])
    coefficients = Table("column", "coefficient", "s.e.", title="conditional logit of all choices")
    for row in market["coefficients"]:
        coefficients.add_row(escape(row["name"]), f"{row['coefficient']:.3f}", f"{row['standard_error']:.3f}")
    names = list(market["elasticities"])
    answers = Table("demand of \\ price of", *map(escape, names), title="own and cross elasticities")
    for name in names:
        answers.add_row(escape(name), *(f"{market['elasticities'][name][other]:.3f}" for other in names))
    return [fit, coefficients, answers]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} … {high:.3f}"


def _plot_intervals(axes: Any, rows: list[tuple[str, float, list[float]]]) -> None:
    for place, (_, value, (low, high)) in enumerate(reversed(rows)):
        axes.plot([low, high], [place, place], color="tab:blue")
        axes.scatter([value], [place], color="tab:blue")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
    axes.axvline(-1, color="lightgray")
    axes.set(
        xlabel="elasticity; left of -1 a higher price earns less revenue", title="95 % intervals of the estimators"
    )


def _plot_shrinking(axes: Any, rows: list[Row]) -> None:
    known = [row for row in rows if row["elasticity"] is not None and "shrunk" in row]
    for row in known:
        axes.plot([0, 1], [row["elasticity"], row["shrunk"]], color="tab:blue", alpha=0.3)
    axes.set_xticks([0, 1], ["own", "shrunk"])
    axes.set(ylabel="elasticity", title=f"{len(known)} products")


def _plot_markets(left: Any, right: Any, rows: list[Row]) -> None:
    places = list(range(len(rows)))
    for shift, name in ((-0.2, "shares"), (0.2, "conditional logit")):
        values = [next(line["nll"] for line in row["estimators"] if line["name"] == name) for row in rows]
        left.bar([place + shift for place in places], values, width=0.4, label=name)
    left.set_xticks(places, [row["name"] for row in rows])
    left.set(ylabel="nats per held-out choice")
    left.legend()
    own = [(name, row["elasticities"][name][name]) for row in rows for name in row["elasticities"]]
    right.barh([name for name, _ in own], [value for _, value in own])
    right.set(xlabel="own elasticity")
