"""Prices over time and how demand answers to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import NUM_WEEKS, Catalogue, Floats, charm

PROMOTION_SHARE = 0.15
PROMOTION_DISCOUNT = (0.1, 0.3)
WEEKLY_SPREAD = 0.06


@dataclass(frozen=True)
class Prices:
    """Prices and demand of the products.

    Prices change weekly and at random, whatever the demand: their effect can be estimated without instruments.

    Attributes:
        weekly: (weeks, products) float32, in the shop's currency.
        elasticity: (products,) positive: d logit P(purchase | click) / d log price = -elasticity.
        intercept: (products,) what else moves the purchase logit of a product.
    """

    weekly: NDArray[np.float32]
    elasticity: Floats
    intercept: Floats


def make_prices(catalogue: Catalogue, rng: np.random.Generator) -> Prices:
    """Draw the prices of every week and the demand of every product; good things are bought less for their price."""
    size = len(catalogue)
    level = np.asarray([category.elasticity for category in catalogue.vocabulary.categories.values()])
    weekly = np.empty((NUM_WEEKS, size), dtype=np.float32)
    for week in range(NUM_WEEKS):
        discount = np.where(rng.random(size) < PROMOTION_SHARE, rng.uniform(*PROMOTION_DISCOUNT, size), 0.0)
        spread = np.exp(WEEKLY_SPREAD * rng.standard_normal(size))
        weekly[week] = charm(catalogue.reference_price * spread * (1 - discount))
    return Prices(
        weekly=weekly,
        elasticity=level[catalogue.category]
        * np.exp(0.2 * rng.standard_normal(size))
        * (1.2 - 0.4 * catalogue.quality),
        intercept=0.25 * rng.standard_normal(size),
    )


def current(prices: Prices) -> Floats:
    """(products,) prices of the last week, in the shop's currency."""
    return np.round(prices.weekly[-1].astype(np.float64), 2)
