"""Prices over time and how demand answers to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import NUM_WEEKS, Catalogue, Floats, charm

PROMOTION_SHARE = 0.15
PROMOTION_DISCOUNT = (0.1, 0.3)
WEEKLY_SPREAD = 0.06
# Of the logit of a purchase, where prices follow the season.
SEASON_AMPLITUDE = 0.8
# Of the log price, for a season of 1 and a full response.
RESPONSE = 0.25


@dataclass(frozen=True)
class Prices:
    """Prices and demand of the products.

    Attributes:
        weekly: (weeks, products) float32, in the shop's currency. Prices change weekly and at random, whatever the
            demand: their effect can be estimated without instruments. Where they follow the season, dear weeks are
            weeks of high demand, and an estimate that overlooks the season finds too low an elasticity.
        season: (weeks, products) float32, what the season of the category adds to the purchase logit.
        elasticity: (products,) positive: d logit P(purchase | click) / d log price = -elasticity.
        intercept: (products,) what else moves the purchase logit of a product.
    """

    weekly: NDArray[np.float32]
    season: NDArray[np.float32]
    elasticity: Floats
    intercept: Floats


def make_prices(catalogue: Catalogue, rng: np.random.Generator, response: float = 0.0) -> Prices:
    """Draw the prices of every week and the demand of every product; good things are bought less for their price.

    Args:
        catalogue: whose products have a usual price.
        rng: of the draws.
        response: how far prices follow the season of demand, 0 to 1; 0: there is no season.
    """
    size = len(catalogue)
    level = np.asarray([category.elasticity for category in catalogue.vocabulary.categories.values()])
    season = _season(catalogue) if response else np.zeros((NUM_WEEKS, size))
    weekly = np.empty((NUM_WEEKS, size), dtype=np.float32)
    for week in range(NUM_WEEKS):
        discount = np.where(rng.random(size) < PROMOTION_SHARE, rng.uniform(*PROMOTION_DISCOUNT, size), 0.0)
        spread = np.exp(WEEKLY_SPREAD * rng.standard_normal(size))
        answer = np.exp(RESPONSE * response * season[week])
        weekly[week] = charm(catalogue.reference_price * answer * spread * (1 - discount))
    return Prices(
        weekly=weekly,
        season=season.astype(np.float32),
        elasticity=level[catalogue.category]
        * np.exp(0.2 * rng.standard_normal(size))
        * (1.2 - 0.4 * catalogue.quality),
        intercept=0.25 * rng.standard_normal(size),
    )


def _season(catalogue: Catalogue) -> Floats:
    """(weeks, products): one wave a quarter, at another time for each category."""
    phases = np.arange(len(catalogue.vocabulary.categories)) / len(catalogue.vocabulary.categories)
    weeks = np.arange(NUM_WEEKS)[:, None] / NUM_WEEKS
    return SEASON_AMPLITUDE * np.sin(2 * np.pi * (weeks + phases))[:, catalogue.category]


def current(prices: Prices) -> Floats:
    """(products,) prices of the last week, in the shop's currency."""
    return np.round(prices.weekly[-1].astype(np.float64), 2)
