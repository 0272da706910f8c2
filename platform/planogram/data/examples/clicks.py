"""Result pages with clicks and purchases as examples: one per (query, product), since shoppers see it many times."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import ClickConfig
from planogram.data.propensity import randomised_propensities, regression_em, unbiased_targets
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
KEYS = ["ranking_id", "product_id"]


def impressions(interactions: pd.DataFrame) -> pd.DataFrame:
    """What was shown on result pages, with what came of it.

    Args:
        interactions: the table.

    Returns:
        One row per impression: query, product_id, position, propensity, timestamp, clicked and purchased (bool).

    Raises:
        DataError: no impression has a query and a position.
    """
    shown = interactions[(interactions["event_type"] == "impression")].dropna(subset=["query", "position"])
    if shown.empty:
        raise DataError(
            "the shop has no impressions with a query and a position",
            remedy="map them in the source mapping, or choose another task",
        )
    page = pd.MultiIndex.from_frame(shown[KEYS])
    answers = {
        name: page.isin(pd.MultiIndex.from_frame(interactions.loc[interactions["event_type"] == event, KEYS]))
        for name, event in (("clicked", "click"), ("purchased", "purchase"))
    }
    columns = ["query", "product_id", "position", "propensity", "timestamp"]
    return shown[columns].assign(**answers, position=shown["position"].astype(np.int64)).reset_index(drop=True)


def examination(shown: pd.DataFrame, config: ClickConfig) -> Floats:
    """How likely each position is looked at, relative to the first.

    Returns:
        (positions,) the first is 1; 1 for all without a correction.
    """
    depth = int(shown["position"].max())
    if config.debias != "ips":
        return np.ones(depth)
    if config.propensities == "randomised":
        shuffled = shown[shown["propensity"].notna()]
        if shuffled.empty:
            raise DataError(
                "no page was shuffled: no impression has a propensity",
                allowed="clicks.propensities=em",
                remedy="estimate by EM, or log the propensity of shuffled pages",
            )
        found = randomised_propensities(shuffled)
    else:
        pairs = pd.MultiIndex.from_frame(shown[["query", "product_id"]]).factorize()[0]
        found = regression_em(shown["position"].to_numpy(), shown["clicked"].to_numpy(), pairs=pairs).propensities
    padded = np.full(depth, found[-1])
    padded[: len(found)] = found
    return np.clip(padded, config.clip, 1.0)


def click_rates(shown: pd.DataFrame, examined: Floats) -> pd.DataFrame:
    """Clicks over expected examinations of every (query, product): its attraction, whatever positions it had.

    Returns:
        query, product_id, grade (0..1) and weight (expected examinations).

    Source: see `propensity.unbiased_targets`.
    """
    groups = shown.groupby(["query", "product_id"], sort=True)
    numbers, pairs = np.asarray(groups.ngroup(), dtype=np.int64), groups.size().index
    targets, weights = unbiased_targets(shown["position"].to_numpy(), shown["clicked"].to_numpy(), numbers, examined)
    return pairs.to_frame(index=False).assign(grade=targets.astype(np.float64), weight=weights.astype(np.float64))


def rates_by_position(shown: pd.DataFrame) -> pd.DataFrame:
    """Click rate of every (query, product, position), for a model that learns the bias of positions itself."""
    groups = shown.groupby(["query", "product_id", "position"], sort=True)
    return groups.agg(grade=("clicked", "mean"), weight=("clicked", "size")).reset_index()


def purchase_rates(shown: pd.DataFrame) -> pd.DataFrame:
    """Purchases per click of every (query, product): what was clicked was seen, so positions do not matter."""
    clicked = shown[shown["clicked"]]
    if clicked.empty:
        raise DataError("no impression was clicked", remedy="bring clicks, or choose another task")
    groups = clicked.groupby(["query", "product_id"], sort=True)
    return groups.agg(grade=("purchased", "mean"), weight=("purchased", "size")).reset_index()
