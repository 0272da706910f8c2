"""Demand curves of what a demand model says of products."""

from collections.abc import Sequence
from functools import cached_property
from statistics import median
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from planogram.config import LOG_ELASTICITIES
from planogram.errors import DataError
from planogram.pricing.curve import DemandCurve, Kind
from planogram.pricing.item import PriceItem, usable_price
from planogram.section import Section

Floats = npt.NDArray[np.float32]
# Reference price, offset, exposure.
Known = tuple[float, float, float]


class Baseline(Section):
    """What was expected of each product when a demand model was written.

    Attributes:
        products: product id -> (reference price in the shop's currency, offset, impressions per period or 1).
    """

    products: dict[str, Annotated[Known, Field(strict=False)]]

    # Kept: a shop has many products, and a request for an unknown one should not sort them all.
    @cached_property
    def usual(self) -> tuple[float, float]:
        """Median offset and exposure, of a product that nothing is known of."""
        values = list(self.products.values())
        return (median(v[1] for v in values), median(v[2] for v in values)) if values else (0.0, 1.0)


def curves(logits: Floats, items: Sequence[PriceItem], kind: Kind, baseline: Baseline) -> list[DemandCurve | None]:
    """The curve of each item: the mean of the members, and the members as its draws.

    A product that the baseline lacks is taken to sell as the median one does, around its own current price: its
    elasticity is its text's, its expected units are a guess.

    Args:
        logits: (items, 2 * members) level and log elasticity in turn.
        items: products.
        kind: of the model.
        baseline: what was known when the model was trained.

    Returns:
        None for an item that is unknown and has no price of its own.

    Raises:
        DataError: the logits are not in pairs, or not finite.
    """
    if logits.shape[1] % 2 or not np.isfinite(logits).all():
        raise DataError("logits that are no levels and elasticities", remedy="publish the demand model anew")
    found: list[DemandCurve | None] = []
    for row, item in zip(logits.astype(np.float64), items, strict=True):
        known = baseline.products.get(item.product_id) or _around(usable_price(item), baseline)
        found.append(None if known is None else _curve(row, kind, known))
    return found


def _curve(row: npt.NDArray[np.float64], kind: Kind, known: Known) -> DemandCurve:
    reference, offset, exposure = known
    levels, elasticities = offset + row[0::2], np.exp(np.clip(row[1::2], *LOG_ELASTICITIES))
    draws = np.column_stack([levels, elasticities])
    elasticity = float(np.exp(np.log(elasticities).mean()))
    return DemandCurve(reference, float(levels.mean()), elasticity, kind, exposure, draws)


def _around(price: float | None, baseline: Baseline) -> Known | None:
    return None if price is None else (price, *baseline.usual)
