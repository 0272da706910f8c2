"""Sections of a report that say how good a bundle is, and for whom."""

from typing import Any

from planogram.card.html import big, note, picture, section, table

Pictures = dict[str, bytes]


def headline(result: dict[str, Any]) -> str:
    """The first sentences: the metric that ranks, its interval, and what it stands beside."""
    metrics, intervals = result["metrics"], result["intervals"]
    first = next((name for name in metrics if name.startswith("ndcg")), next(iter(metrics), None))
    if first is None:
        return ""
    sentence = f"{first.upper()} {metrics[first]:.3f}{_between(intervals.get(first))}"
    if first in result["lexical"]:
        sentence += f", where words alone (BM25) reach {result['lexical'][first]:.3f}"
    found = f"{result['queries']:,} queries with {result['examples']:,} products of part {result['part']}"
    return big(sentence) + note(f"Measured on {found}.") + (_change(result["compare"]) if "compare" in result else "")


def _change(found: dict[str, Any]) -> str:
    change = found["difference"]
    sure = "a difference that is no luck" if change["p_value"] < 0.05 else "a difference that may be luck"
    between = f"{change['low']:+.3f} to {change['high']:+.3f}"
    sentence = f"{change['mean']:+.3f} against {found['bundle']} ({between}): {sure} (p = {change['p_value']:.3f})."
    seen = "" if found["same_split"] else " That bundle was trained on another split, and may have seen these queries."
    return note(f"{sentence} Better on {change['wins']} queries, worse on {change['losses']}.{seen}")


def metrics(result: dict[str, Any]) -> str:
    """Every metric with its interval."""
    intervals, lexical = result["intervals"], result["lexical"]
    rows = [
        [
            name,
            f"{value:.4f}",
            _range(intervals[name]) if name in intervals else "",
            f"{lexical[name]:.4f}" if name in lexical else "",
        ]
        for name, value in result["metrics"].items()
    ]
    return section("Figures", table(("metric", "value", "95 % interval", "BM25"), rows))


def slices(result: dict[str, Any], pictures: Pictures) -> str:
    """For which kinds of queries it is good."""
    rows = result.get("slices", [])
    compared = any("difference" in row for row in rows)
    header = ("slice", "queries", "NDCG", "95 % interval", *(("change", "95 % interval") if compared else ()))
    lines = [_slice(row, compared) for row in rows]
    missing = "; ".join(f"{name}: {reason}" for name, reason in result.get("untold", {}).items())
    return (
        section(
            "For whom",
            note(
                "A slice is a kind of query. Of fewer than 20 queries a mean says little: such slices are named alone."
            ),
            picture(pictures.get("slices"), "NDCG by slice"),
            table(header, lines),
            note(f"The shop's tables do not tell: {missing}.") if missing else "",
        )
        if rows or missing
        else ""
    )


def _slice(row: dict[str, Any], compared: bool) -> list[str]:
    name = f"{row['slice']}: {row['value']}"
    if not row["judged"]:
        return [name, str(row["queries"]), "too few", *([""] * (3 if compared else 1))]
    cells = [name, str(row["queries"]), f"{row['mean']:.3f}", _range(row["interval"])]
    if compared:
        change = row["difference"]
        cells += [f"{change['mean']:+.3f}", f"{change['low']:+.3f} to {change['high']:+.3f}"]
    return cells


def examples(result: dict[str, Any], pictures: Pictures) -> str:
    """Wins and losses to read."""
    found = result.get("compare")
    if not found:
        return ""
    header = ("query", "change", "its best products (grade)", f"the best products of {found['bundle']} (grade)")
    tables = [
        f"<h3>{name}</h3>" + table(header, [_example(row) for row in found[key]], numbers=False)
        for name, key in (("Largest wins", "wins"), ("Largest losses", "losses"))
        if found[key]
    ]
    return section(
        f"Beside {found['bundle']}", picture(pictures.get("differences"), "differences of all queries"), *tables
    )


def _example(row: dict[str, Any]) -> list[str]:
    return [row["query"], f"{row['difference']:+.3f}", _products(row["top"]), _products(row["other_top"])]


def _products(rows: list[dict[str, Any]]) -> str:
    return "; ".join(f"{row['text'][:80]} ({row['grade']:g})" for row in rows)


def calibration(result: dict[str, Any], pictures: Pictures) -> str:
    """Whether scores mean what they say."""
    found = result.get("calibration")
    if not found:
        return ""
    said = f"On average a score is {found['error']:.3f} off the grade that it promises, scaled to 0..1."
    why = "On the diagonal, products of score 0.7 have 70 % of the best grade on average."
    return section("Can scores be trusted?", note(f"{said} {why}"), picture(pictures.get("calibration"), "reliability"))


def robustness(result: dict[str, Any]) -> str:
    """What typing errors, other words and stuffed titles do."""
    found = result.get("robustness")
    if not found:
        return ""
    rows = [
        [f"{kind}: {name}", str(row["queries"]), f"{row['drop']:.3f}", _range(row["interval"]), f"{row['tau']:.3f}"]
        for kind in ("typos", "paraphrases")
        for name, row in found[kind].items()
        if row["drop"] is not None
    ]
    header = ("queries are", "changed", "NDCG falls by", "95 % interval", "Kendall's tau to the order before")
    return section("Is it robust?", table(header, rows), _stuffing(found["stuffing"]))


def _stuffing(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    words = " ".join(found["words"])
    climbs = f"climbs 3 ranks or more in {found['share']:.0%} of {found['queries']} queries"
    return note(f"An irrelevant product whose title is stuffed with “{words}” {climbs}.")


def exposure(result: dict[str, Any]) -> str:
    """Who is seen."""
    found = result.get("exposure")
    if not found:
        return ""
    rows = [
        [row["brand"], f"{row['exposure']:.1%}", f"{row['merit']:.1%}", f"{row['ratio']:.2f}" if "ratio" in row else ""]
        for row in found["brands"]
    ]
    least = f"of the best possible order {found['ideal_disparity']:.4f}"
    said = f"Divergence from merit {found['disparity']:.4f} nats; {least}."
    why = "Attention falls with the rank; merit is the share of grades."
    return section("Which brands are seen?", note(f"{why} {said}"), table(("brand", "seen", "merit", "ratio"), rows))


def _between(interval: list[float] | None) -> str:
    return f" ({_range(interval)})" if interval else ""


def _range(interval: list[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
