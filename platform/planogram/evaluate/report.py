"""An evaluation as tables for people."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

# Of wins and losses a terminal shows the largest; the result has more.
SHOWN = 5


def render(result: dict[str, Any]) -> Group:
    """A table of metrics with intervals, beside those of BM25, and of everything else that was asked for.

    Args:
        result: what `offline.run` returns.
    """
    return Group(*_tables(result))


def _tables(result: dict[str, Any]) -> Iterator[Table]:
    yield _metrics(result)
    if "slices" in result:
        yield _slices(result)
    if "compare" in result:
        yield _compared(result["compare"])
    if "robustness" in result:
        yield _robustness(result["robustness"])
    if result.get("exposure"):
        yield _exposure(result["exposure"])


def _metrics(result: dict[str, Any]) -> Table:
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
    if calibration := result.get("calibration"):
        table.add_row("calibration of scaled grades", f"{calibration['error']:.4f}")
    if "pairs_per_s" in result:
        table.add_row("pairs / s", f"{result['pairs_per_s']:,.0f}")
    return table


def _slices(result: dict[str, Any]) -> Table:
    rows = result["slices"]
    missing = "; ".join(f"{name}: {reason}" for name, reason in result["untold"].items())
    table = Table(title="by slice", caption=escape(missing and f"not told by this shop: {missing}"))
    for name in ("slice", "value", "queries", "NDCG", "95 % interval", "change", "95 % interval", "p"):
        table.add_column(name, justify="left" if name in ("slice", "value") else "right")
    for row in rows:
        if not row["judged"]:
            table.add_row(row["slice"], escape(row["value"]), str(row["queries"]), "too few queries")
            continue
        between = f"{row['interval'][0]:.4f} … {row['interval'][1]:.4f}"
        cells = _difference(row["difference"]) if "difference" in row else ()
        table.add_row(row["slice"], escape(row["value"]), str(row["queries"]), f"{row['mean']:.4f}", between, *cells)
    return table


def _difference(found: dict[str, Any]) -> tuple[str, str, str]:
    return f"{found['mean']:+.4f}", f"{found['low']:+.4f} … {found['high']:+.4f}", f"{found['p_value']:.3f}"


def _compared(found: dict[str, Any]) -> Table:
    change = found["difference"]
    mean, between, p_value = _difference(change)
    counts = f"{change['wins']} wins, {change['losses']} losses, {change['ties']} ties"
    warning = "" if found["same_split"] else "\nit was trained on another split, and may have seen these queries"
    table = Table(
        title=f"against {escape(found['bundle'])} ({found['metric']} {found['mean']:.4f}): {mean} ({between}), "
        f"p {p_value}; {counts}{warning}"
    )
    for name in ("query", "change", "best products", "the other's best products"):
        table.add_column(name, justify="right" if name == "change" else "left", overflow="fold")
    for row in [*found["wins"][:SHOWN], *found["losses"][:SHOWN]]:
        table.add_row(
            escape(row["query"]), f"{row['difference']:+.4f}", _products(row["top"]), _products(row["other_top"])
        )
    return table


def _products(rows: list[dict[str, Any]]) -> str:
    return escape("\n".join(f"{row['grade']:g}: {row['text'][:60]}" for row in rows))


def _robustness(found: dict[str, Any]) -> Table:
    table = Table(title=f"robustness, on {found['queries']} queries", caption=_stuffing(found["stuffing"]))
    for name in ("queries are", "changed", "NDCG falls by", "95 % interval", "Kendall's tau"):
        table.add_column(name, justify="left" if name == "queries are" else "right")
    for kinds in ("typos", "paraphrases"):
        for name, row in found[kinds].items():
            if row["drop"] is not None:
                between = f"{row['interval'][0]:+.4f} … {row['interval'][1]:+.4f}"
                table.add_row(
                    f"{kinds}: {name}", str(row["queries"]), f"{row['drop']:.4f}", between, f"{row['tau']:.4f}"
                )
    return table


def _stuffing(found: dict[str, Any] | None) -> str | None:
    if found is None:
        return None
    words = " ".join(found["words"])
    return escape(f"a title stuffed with '{words}' climbs 3 ranks or more in {found['share']:.1%} of the queries")


def _exposure(found: dict[str, Any]) -> Table:
    table = Table(
        title=f"exposure: divergence from merit {found['disparity']:.4f} nats, of the best order "
        f"{found['ideal_disparity']:.4f}"
    )
    for name in ("brand", "exposure", "merit", "ratio"):
        table.add_column(name, justify="left" if name == "brand" else "right")
    for row in found["brands"]:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        table.add_row(escape(row["brand"]), f"{row['exposure']:.1%}", f"{row['merit']:.1%}", ratio)
    return table
