"""Units and purchases from the interactions of a shop."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from planogram.errors import DataError

WeeklyPrice = Literal["mean", "median"]
_WEEK = pd.Timedelta(days=7)
# A Monday: weeks are those of the calendar.
_FIRST_MONDAY = pd.Timestamp("1970-01-05", tz="UTC")


def weekly_units(purchases: pd.DataFrame, price: WeeklyPrice = "mean") -> pd.DataFrame:
    """Units of each product and week, from its first sale to its last.

    A week without a sale has 0 units at the price of the week before: nobody saw another one.

    Args:
        purchases: timestamp, product_id, price, quantity (1 where it is missing).
        price: of a week. `mean`: what a unit brought, so that one large order at a discount lowers it; `median`: what
            most orders paid.

    Returns:
        product_id, period (weeks since the first one of all), units, price, choice_set (none); by product and week.
    """
    quantity = purchases["quantity"].fillna(1).astype(float)
    rows = purchases.assign(period=weeks(purchases["timestamp"]), units=quantity, paid=purchases["price"] * quantity)
    weekly = rows.groupby(["product_id", "period"]).agg(
        units=("units", "sum"), paid=("paid", "sum"), m=("price", "median")
    )
    weekly["price"] = weekly["paid"] / weekly["units"] if price == "mean" else weekly["m"]
    filled = weekly.reindex(_without_gaps(weekly.reset_index()))
    filled["units"] = filled["units"].fillna(0.0)
    filled["price"] = filled.groupby(level="product_id")["price"].ffill()
    return filled[["units", "price"]].reset_index().assign(choice_set=None)


def weeks(timestamps: "pd.Series[Any]") -> "pd.Series[int]":
    """(rows,) calendar weeks since the first one of all, from Monday to Sunday in UTC."""
    number = (timestamps - _FIRST_MONDAY) // _WEEK
    return number - number.min()


def clicked_purchases(events: pd.DataFrame) -> pd.DataFrame:
    """Every click with its price, and whether a purchase of the product followed.

    Args:
        events: clicks and purchases: timestamp, event_type, product_id, price, and ranking_id, or session_id where
            events lack the ranking.

    Returns:
        product_id, price, period (week), choice_set (the ranking or session), purchased (0 or 1); a row for each click.

    Raises:
        DataError: there are no clicks, or clicks name neither ranking nor session.
    """
    clicks = events[events["event_type"] == "click"].reset_index(drop=True)
    if clicks.empty:
        raise DataError("no clicks with a price", remedy="map events of the type click with their prices")
    keys = [_shared_key(events), "product_id"]
    bought = events[events["event_type"] == "purchase"].groupby(keys)["timestamp"].max().rename("bought_at")
    joined = clicks.join(bought, on=keys)
    return pd.DataFrame(
        {
            "product_id": clicks["product_id"],
            "price": clicks["price"],
            "period": weeks(clicks["timestamp"]),
            "choice_set": clicks[keys[0]],
            "purchased": (joined["bought_at"] >= joined["timestamp"]).astype(int),
        }
    )


def _shared_key(events: pd.DataFrame) -> str:
    """What a click and its purchase have in common."""
    for name in ("ranking_id", "session_id"):
        if events[name].notna().all():
            return name
    raise DataError("clicks and purchases share neither ranking_id nor session_id", remedy="map one of them")


def _without_gaps(weekly: pd.DataFrame) -> pd.MultiIndex:
    """Every week of a product between its first and its last."""
    spans = weekly.groupby("product_id")["period"].agg(["min", "max"])
    lengths = (spans["max"] - spans["min"] + 1).to_numpy()
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    arrays = [np.repeat(spans.index.to_numpy(), lengths), np.repeat(spans["min"].to_numpy(), lengths) + offsets]
    return pd.MultiIndex.from_arrays(arrays, names=["product_id", "period"])
