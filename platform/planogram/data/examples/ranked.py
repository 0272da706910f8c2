"""Rows of (query, product) with what they are ranked by, for models over signals of products instead of over texts."""

import pandas as pd

from planogram.data.examples import clicks
from planogram.data.examples.judged import agreement
from planogram.data.examples.load import Source, shown
from planogram.data.shop import read_table
from planogram.data.splits import take
from planogram.errors import ConfigError, DataError

RANKED_TASKS = ("relevance", "click", "purchase")


def ranked_rows(task: str, source: Source) -> pd.DataFrame:
    """What the examples of a task are made from.

    Args:
        task: relevance, click or purchase.
        source: the shop, its split and its part.

    Returns:
        query, product_id (of the shop's products), grade (judged, or a rate 0..1) and weight.

    Raises:
        ConfigError: the task does not rank products for queries.
        DataError: the shop lacks the table, or no row is left.
    """
    if task not in RANKED_TASKS:
        raise ConfigError(f"task={task} ranks no products for queries", allowed=", ".join(RANKED_TASKS))
    known = set(read_table(source.shop, "products", ["product_id"])["product_id"])
    if task == "relevance":
        judgments = read_table(source.shop, "judgments")
        rows = take(judgments[judgments["product_id"].isin(known)], source.split, source.part, "judgment")
        rows = rows.assign(weight=agreement(rows))
    elif task == "click":
        pages = shown(source)
        rows = clicks.click_rates(pages, clicks.examination(pages, source.clicks))
    else:
        rows = clicks.purchase_rates(shown(source))
    rows = rows.loc[rows["product_id"].isin(known), ["query", "product_id", "grade", "weight"]]
    if rows.empty:
        raise DataError(f"no product of part {source.part!r} is in the products table", remedy="check the product ids")
    return rows.reset_index(drop=True)


def taken(source: Source) -> pd.DataFrame:
    """Clicks and purchases of the part's result pages, as events.

    Raises:
        DataError: there are no pages.
    """
    pages = shown(source)
    columns = {"click": "clicked", "purchase": "purchased"}
    events = [pages.loc[pages[column], ["product_id"]].assign(event_type=event) for event, column in columns.items()]
    return pd.concat(events, ignore_index=True)
