"""What elasticities are estimated from: units, purchases after clicks, or choices, each with its price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.data.shop import has_table, read_table
from planogram.elasticity.events import WeeklyPrice, clicked_purchases, weekly_units
from planogram.errors import DataError

Kind = Literal["units", "purchase", "choice"]
Integers = npt.NDArray[np.int64]

#: kind -> the column that answers to the price
OUTCOMES: dict[Kind, str] = {"units": "units", "purchase": "purchased", "choice": "chosen"}
_KEYS = ["product_id", "price", "log_price", "choice_set", "group", "period", "store"]


@dataclass(frozen=True)
class Observations:
    """Rows of a shop with a price and what was bought at it.

    Attributes:
        frame: product_id; price in the shop's currency; log_price; the outcome of the kind (`OUTCOMES`); choice_set,
            numbered, a row of its own where the shop names none; group, numbered: the name of the choice set up to its
            last slash, as a household; period, an integer in the order of time, 0 where there is none; store, empty
            where there is none; and `features`. The rows are in the order of their table.
        kind: what the outcome is.
        features: names of further numeric columns.
        left_out: why -> rows of the table that have no price or no outcome.
    """

    frame: pd.DataFrame
    kind: Kind
    features: tuple[str, ...]
    left_out: dict[str, int]

    @property
    def outcome(self) -> str:
        """The column that answers to the price."""
        return OUTCOMES[self.kind]


def load_observations(
    shop: str, kind: Kind | None = None, best_sellers: int | None = None, weekly_price: WeeklyPrice = "mean"
) -> Observations:
    """Read what elasticities are estimated from.

    Args:
        shop: folder or URI of a prepared shop.
        kind: absent: units of the demand table, else its choices, else units of purchases in the interactions table.
        best_sellers: only the products of most units, of most purchases or chosen most often; absent: all.
        weekly_price: of interactions: how the prices of one week become one.

    Raises:
        NotFoundError: there is no such shop.
        DataError: the shop has nothing of this kind.
    """
    demand = _demand(shop)
    found = kind or _kind_of(shop, demand)
    if found == "purchase":
        made = _from_events(clicked_purchases(_events(shop, ["click", "purchase"])), found)
    elif demand is not None and demand[OUTCOMES[found]].notna().any():
        made = from_demand(demand, found)
    elif found == "units":
        made = _from_events(weekly_units(_sold(shop), weekly_price), found)
    else:
        raise DataError(f"{shop} has no choices", remedy="map chosen and choice_set of the demand table")
    return made if best_sellers is None else _of_best_sellers(made, best_sellers)


def from_demand(demand: pd.DataFrame, kind: Kind) -> Observations:
    """Observations of rows of the demand table.

    Raises:
        DataError: a feature is not a number or has the name of another column, or a choice names no set.
    """
    outcome = OUTCOMES[kind]
    rows = demand[demand[outcome].notna()].reset_index(drop=True)
    if kind == "choice" and rows["choice_set"].isna().any():
        raise DataError("choices without a choice_set", remedy="name the choice set of every row")
    features = expand(rows["features"])
    if taken := [name for name in features if name in (*_KEYS, outcome)]:
        raise DataError(f"features {', '.join(taken)} have the name of a column", remedy="name them otherwise")
    frame = pd.concat([_keyed(rows), rows[[outcome]].astype(float), features], axis=1)
    left_out = {f"no {outcome}": len(demand) - len(rows)} if len(rows) < len(demand) else {}
    return Observations(frame, kind, tuple(map(str, features)), left_out)


def expand(features: "pd.Series[Any]") -> pd.DataFrame:
    """Maps of features as numeric columns, (rows, names); NaN where a row lacks one.

    Raises:
        DataError: a value is not a number.
    """
    table = pd.DataFrame([dict(row) if row is not None else {} for row in features], index=features.index)
    numbers = table.apply(pd.to_numeric, errors="coerce")
    if wrong := [name for name in table if (numbers[name].isna() & table[name].notna()).any()]:
        raise DataError(
            f"features {', '.join(map(str, wrong))} have values that are not numbers",
            remedy="map them to numbers, such as 0 and 1",
        )
    return numbers.astype(float)


def numbered_periods(periods: "pd.Series[Any]") -> Integers:
    """(rows,) periods as integers in the order of time: numbers by value, texts such as 2018-04 by their letters."""
    if periods.isna().all():
        return np.zeros(len(periods), dtype=np.int64)
    if periods.isna().any():
        raise DataError("some rows of demand have a period and others none", remedy="map the period of every row")
    numbers = pd.to_numeric(periods, errors="coerce")
    return pd.factorize(periods if numbers.isna().any() else numbers, sort=True)[0].astype(np.int64)


def _keyed(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that all kinds share."""
    named = rows["choice_set"].notna().all()
    sets = rows["choice_set"] if named else pd.Series(np.arange(len(rows)), index=rows.index).astype(str)
    columns = {
        "product_id": rows["product_id"].astype(str),
        "price": rows["price"].astype(float),
        "log_price": np.log(rows["price"].astype(float)),
        "choice_set": pd.factorize(sets)[0],
        "group": pd.factorize(sets.str.replace(r"/[^/]*$", "", regex=True))[0],
        "period": numbered_periods(rows["period"]),
        "store": rows["store"].fillna("").astype(str),
    }
    return pd.DataFrame(columns, index=rows.index)


def _from_events(rows: pd.DataFrame, kind: Kind) -> Observations:
    keys = _keyed(rows.assign(store=None))
    frame = pd.concat([keys, rows[[OUTCOMES[kind]]].astype(float)], axis=1)
    return Observations(frame, kind, (), {})


def _of_best_sellers(observations: Observations, count: int) -> Observations:
    totals = observations.frame.groupby("product_id")[observations.outcome].sum()
    # Of products that sold alike, the first by name: the same ones in every run.
    best = totals.sort_index().sort_values(ascending=False, kind="stable").index[:count]
    frame = observations.frame[observations.frame["product_id"].isin(best)].reset_index(drop=True)
    return Observations(frame, observations.kind, observations.features, observations.left_out)


def _demand(shop: str) -> pd.DataFrame | None:
    return read_table(shop, "demand") if has_table(shop, "demand") else None


def _kind_of(shop: str, demand: pd.DataFrame | None) -> Kind:
    if demand is not None:
        return "units" if demand["units"].notna().any() else "choice"
    if has_table(shop, "interactions"):
        return "units"
    raise DataError(
        f"{shop} says nothing of prices and what was bought",
        allowed="a demand table, or interactions with purchases",
        remedy="map one of them and prepare the shop again",
    )


def _events(shop: str, kinds: Sequence[str]) -> pd.DataFrame:
    columns = ["timestamp", "event_type", "product_id", "session_id", "ranking_id", "price", "quantity"]
    events = read_table(shop, "interactions", columns)
    return events[events["event_type"].isin(kinds) & (events["price"] > 0)].reset_index(drop=True)


def _sold(shop: str) -> pd.DataFrame:
    """Purchases of products; what the catalogue does not name, as postage, is no product."""
    events = _events(shop, ["purchase"])
    if has_table(shop, "products"):
        events = events[events["product_id"].isin(read_table(shop, "products", ["product_id"])["product_id"])]
    if events.empty:
        raise DataError(f"{shop} has no purchases with a price", remedy="map events of the type purchase")
    return events.reset_index(drop=True)
