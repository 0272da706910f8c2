"""What kind of query a query is: by the products that answer it best, by how often it is asked, by its words."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from planogram.config import SliceName
from planogram.data.examples.ranked import ranked_rows
from planogram.data.shop import has_table, read_table
from planogram.data.text import query_text
from planogram.errors import DataError
from planogram.evaluate.judged import Judged

Kinds = dict[int, str]
# The most frequent queries that make up this share of all searches are the head.
HEAD_SHARE = 0.5
LONG = 3
SEASON = " | "


class UntoldError(Exception):
    """The shop's tables do not tell this slice; the message says what is missing."""


def category(judged: Judged) -> Kinds:
    """Of most of a query's best products."""
    return _of_products(judged, "category")


def locale(judged: Judged) -> Kinds:
    """Of a query's judgments, else of most of its best products."""
    judgments = read_table(judged.source.shop, "judgments") if has_table(judged.source.shop, "judgments") else None
    if judgments is None or judgments["locale"].isna().all():
        return _of_products(judged, "locale")
    known = judgments.dropna(subset=["locale"])
    by_text = dict(zip(known["query"].map(query_text), known["locale"], strict=True))
    return {group: by_text[text] for group, text in _asked(judged).items() if text in by_text}


def price(judged: Judged) -> Kinds:
    """The third of the catalogue's prices that the median price of a query's best products is in."""
    prices = _column(judged, "price")
    low, high = prices.quantile([1 / 3, 2 / 3])
    if not low < high:
        raise UntoldError("prices hardly differ")
    names = (f"below {low:.2f}", f"{low:.2f} to {high:.2f}", f"{high:.2f} and above")
    medians = {group: prices.reindex(_best(judged, group)).median() for group in judged.lists}
    return {group: names[int(value >= low) + int(value >= high)] for group, value in medians.items() if pd.notna(value)}


def traffic(judged: Judged) -> Kinds:
    """Whether a query is among the most frequent ones that make up half of all searches."""
    if not has_table(judged.source.shop, "interactions"):
        raise UntoldError("the shop has no table of interactions")
    events = read_table(judged.source.shop, "interactions", ["event_type", "query", "ranking_id", "session_id"])
    shown = events[events["event_type"] == "impression"].dropna(subset=["query"])
    if shown.empty:
        raise UntoldError("no impression has a query")
    page = shown["ranking_id"].fillna(shown["session_id"]).fillna("")
    searches = pd.DataFrame({"query": shown["query"].map(query_text), "page": page}).drop_duplicates()
    counts = searches["query"].value_counts()
    before = counts.cumsum() - counts
    head = set(counts.index[before < HEAD_SHARE * counts.sum()])
    kinds = {text: "head" if text in head else "tail" for text in counts.index}
    return {group: kinds.get(text, "never asked") for group, text in _asked(judged).items()}


def new(judged: Judged) -> Kinds:
    """Whether most of a query's best products stand in no row that trained."""
    if judged.source.part == "all":
        raise UntoldError("part=all is what was trained on, too")
    try:
        trained = set(ranked_rows(judged.task, replace(judged.source, part="train"))["product_id"])
    except DataError as error:
        raise UntoldError(error.given) from error
    shares = {
        group: sum(product not in trained for product in best) / len(best)
        for group in judged.lists
        if (best := _best(judged, group))
    }
    return {group: "new" if share > 0.5 else "known" for group, share in shares.items()}


def length(judged: Judged) -> Kinds:
    """How many words a query has."""
    counts = {group: min(len(text.split()), LONG) for group, text in _asked(judged).items()}
    names = {1: "1 word", 2: "2 words", LONG: f"{LONG} words or more"}
    return {group: names[max(count, 1)] for group, count in counts.items()}


KINDS: dict[SliceName, Callable[[Judged], Kinds]] = {
    "category": category,
    "price": price,
    "traffic": traffic,
    "new": new,
    "locale": locale,
    "length": length,
}


def _asked(judged: Judged) -> Kinds:
    """The queries as shoppers wrote them."""
    if not judged.source.text.season:
        return judged.texts
    return {group: text.rpartition(SEASON)[0] for group, text in judged.texts.items()}


def _best(judged: Judged, group: int) -> list[str]:
    return [judged.examples.products[row] for row in judged.best(group)]


def _of_products(judged: Judged, name: str) -> Kinds:
    values = _column(judged, name)
    found = {group: _most_common(values.reindex(_best(judged, group)).dropna()) for group in judged.lists}
    return {group: value for group, value in found.items() if value}


def _most_common(values: Iterable[str]) -> str:
    """Of several that are equally common the first by name; empty where there is none."""
    counts = pd.Series(list(values), dtype=object).value_counts()
    return min((str(value) for value in counts.index[counts == counts.max()]), default="")


def _column(judged: Judged, name: str) -> "pd.Series[Any]":
    """Product id -> its value.

    Raises:
        UntoldError: no product has one.
    """
    products = read_table(judged.source.shop, "products", ["product_id", name]).set_index("product_id")[name]
    if products.isna().all():
        raise UntoldError(f"no product has a {name}")
    return products
