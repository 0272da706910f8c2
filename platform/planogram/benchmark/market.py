"""A simulated shop's true demand: what would be sold at any price, which only the simulator knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.data.shop import read_table
from planogram.data.simulate.behaviour import attractiveness, examination, purchase_probability
from planogram.errors import NotFoundError

Floats = npt.NDArray[np.float64]
# Impressions of a product that stand for all of its own.
MOST_CELLS = 200


@dataclass(frozen=True)
class Market:
    """Products of a simulated shop, each with a sample of the impressions that it had.

    Attributes:
        product_ids: (products,).
        exposures: (products,) impressions a week.
        facts: product_id -> reference and ordinary price, elasticity, intercept, quality.
        cells: product number, position, grade, sensitivity and taste of each sampled impression; by product.
        starts: (products,) first cell of each product.
    """

    product_ids: npt.NDArray[np.object_]
    exposures: Floats
    facts: pd.DataFrame
    cells: pd.DataFrame
    starts: npt.NDArray[np.intp]

    def rates(self, prices: Floats) -> Floats:
        """(products,) purchases per impression at (products,) prices, without a season."""
        product = self.cells["product"].to_numpy()
        price, facts = prices[product], self.facts.iloc[product]
        grade = self.cells["grade"].to_numpy(dtype=np.int8)
        taste = self.cells["taste"].to_numpy()
        clicked = examination(self.cells["position"].to_numpy()) * attractiveness(
            grade, taste, self.cells["sensitivity"].to_numpy(), np.log(price / facts["ordinary_price"].to_numpy())
        )
        bought = purchase_probability(
            grade,
            facts["quality"].to_numpy(),
            taste,
            facts["intercept"].to_numpy(),
            facts["elasticity"].to_numpy(),
            np.log(price / facts["reference_price"].to_numpy()),
        )
        sums = np.add.reduceat(clicked * bought, self.starts)
        return sums / np.diff(np.append(self.starts, len(self.cells)))


def read_market(shop: str, raw: str, seed: int) -> Market:
    """The market of a simulated shop.

    Args:
        shop: as `planogram data prepare` made it.
        raw: as `planogram data simulate` made it, with its truth.
        seed: of the sample of impressions.

    Raises:
        NotFoundError: `raw` has no truth.
    """
    truth = Path(raw) / "truth"
    if not (truth / "grades").is_dir():
        raise NotFoundError(f"{truth}/grades does not exist", remedy="name the folder of planogram data simulate")
    columns = ["timestamp", "event_type", "product_id", "user_id", "query", "position"]
    events = read_table(shop, "interactions", columns)
    shown = events[events["event_type"] == "impression"]
    weeks = max((shown["timestamp"].max() - shown["timestamp"].min()).days / 7, 1.0)
    facts = pd.read_parquet(truth / "products").set_index("product_id").sort_index()
    counts = shown["product_id"].value_counts().reindex(facts.index).dropna()
    facts = facts.loc[counts.index]
    cells = _cells(shown, facts, truth, seed)
    starts = np.searchsorted(cells["product"].to_numpy(), np.arange(len(facts)))
    ids = facts.index.to_numpy(dtype=object)
    return Market(ids, counts.to_numpy(dtype=float) / weeks, facts, cells, starts)


def _cells(shown: pd.DataFrame, facts: pd.DataFrame, truth: Path, seed: int) -> pd.DataFrame:
    sampled = shown.sample(frac=1.0, random_state=seed).groupby("product_id").head(MOST_CELLS)
    grades = pd.read_parquet(truth / "grades")
    shoppers = pd.read_parquet(truth / "shoppers").set_index("user_id")
    joined = sampled.merge(grades, how="left", on=["query", "product_id"])
    joined["product"] = facts.index.get_indexer(pd.Index(joined["product_id"]))
    joined = joined.sort_values("product", kind="stable", ignore_index=True)
    taste = _stacked(shoppers.loc[joined["user_id"], "taste"]) * _stacked(facts["taste"].iloc[joined["product"]])
    return pd.DataFrame(
        {
            "product": joined["product"].to_numpy(),
            "position": joined["position"].to_numpy(dtype=np.int64),
            "grade": joined["grade"].fillna(0).to_numpy(),
            "sensitivity": shoppers.loc[joined["user_id"], "sensitivity"].to_numpy(),
            "taste": taste.sum(axis=1),
        }
    )


def _stacked(vectors: "pd.Series[Any]") -> Floats:
    return np.stack([np.asarray(vector, dtype=np.float64) for vector in vectors])
