"""What shoppers did and wrote: how popular and how well spoken of a product is, and what is taken together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.data.shop import has_table, read_table
from planogram.data.signals import EVENT_WEIGHTS, popularity, review_sentiment

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: of a basket
MAX_ITEMS = 50
#: of a shopper; what was bought long ago says little, and may be wanted again
MAX_OWNED = 200
MAX_NEIGHBOURS = 50


@dataclass(frozen=True)
class Behaviour:
    """Of the products of a shop.

    Attributes:
        popularity: product_id -> 0..1, for products that somebody took.
        sentiment: product_id -> 0..1, for products with a review.
        neighbours: `product_id`, `neighbours`, `weights`: what is taken by the same shoppers, the closest first.
        shoppers: `user_id` and `owned`, ids of what was bought, oldest first.
    """

    popularity: "pd.Series[float]"
    sentiment: "pd.Series[float]"
    neighbours: pd.DataFrame
    shoppers: pd.DataFrame


def read_behaviour(shop: str) -> Behaviour:
    """Of a prepared shop; without interactions and histories nothing is popular and nobody is known."""
    events = _events(shop)
    return Behaviour(popularity(events), _sentiment(shop), neighbours(events), _shoppers(events))


def _sentiment(shop: str) -> "pd.Series[float]":
    if not has_table(shop, "reviews"):
        return pd.Series(dtype=float)
    return review_sentiment(read_table(shop, "reviews", ["product_id", "label", "rating"]))


def neighbours(events: pd.DataFrame) -> pd.DataFrame:
    """What baskets hold together, by the cosine of two products' baskets.

    Source: item-based collaborative filtering (Sarwar et al. 2001).
    """
    from scipy.sparse import coo_array

    columns = ["product_id", "neighbours", "weights"]
    baskets = events.dropna(subset=["basket"]).drop_duplicates(["basket", "product_id"])
    baskets = baskets[baskets.groupby("basket").cumcount() < MAX_ITEMS]
    rows, basket_names = pd.factorize(baskets["basket"])
    items, names = pd.factorize(baskets["product_id"])
    if not len(names):
        return pd.DataFrame(columns=columns)
    held = coo_array((np.ones(len(rows), np.float32), (rows, items)), shape=(len(basket_names), len(names))).tocsr()
    together = (held.T @ held).tocsr()
    counts = together.diagonal()
    return pd.DataFrame(
        [(str(names[item]), *_closest(together, counts, item, names)) for item in range(len(names))], columns=columns
    )


def _closest(
    together: "csr_array", counts: npt.NDArray[np.float32], item: int, names: "pd.Index[str]"
) -> tuple[list[str], list[float]]:
    start, end = together.indptr[item : item + 2]
    others, shared = together.indices[start:end], together.data[start:end]
    others, shared = others[others != item], shared[others != item]
    cosines = shared / np.sqrt(counts[item] * counts[others])
    best = np.argsort(-cosines, kind="stable")[:MAX_NEIGHBOURS]
    return [str(name) for name in names[others[best]]], cosines[best].tolist()


def _shoppers(events: pd.DataFrame) -> pd.DataFrame:
    bought = events[events["bought"].astype(bool)].dropna(subset=["user_id"])
    rows = [
        (str(user), own["product_id"].drop_duplicates(keep="last").tolist()[-MAX_OWNED:])
        for user, own in bought.groupby("user_id", sort=True)
    ]
    return pd.DataFrame(rows, columns=["user_id", "owned"])


def _events(shop: str) -> pd.DataFrame:
    """What was taken, in time: `event_type`, `product_id`, `user_id`, `basket`, `bought`."""
    if has_table(shop, "interactions"):
        columns = ["timestamp", "event_type", "product_id", "user_id", "session_id"]
        events = read_table(shop, "interactions", columns)
        events = events[events["event_type"].isin(EVENT_WEIGHTS)].sort_values("timestamp", kind="stable")
        return events.assign(
            basket=events["user_id"].fillna(events["session_id"]), bought=events["event_type"] == "purchase"
        )
    if has_table(shop, "histories"):
        return _from_histories(read_table(shop, "histories"))
    return pd.DataFrame(columns=["event_type", "product_id", "user_id", "basket", "bought"])


def _from_histories(histories: pd.DataFrame) -> pd.DataFrame:
    """The longest history of each shopper, without the products that are yet to be foretold."""
    owners = histories["user_id"].fillna(histories["history_id"])
    longest = histories.assign(owner=owners, length=histories["history"].str.len())
    longest = longest.sort_values("length", kind="stable").drop_duplicates("owner", keep="last")
    taken = longest[["owner", "user_id", "history"]].explode("history").dropna(subset=["history"])
    taken = taken.rename(columns={"history": "product_id", "owner": "basket"})
    return taken.assign(event_type="purchase", bought=True)
