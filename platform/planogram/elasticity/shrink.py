"""Elasticities of products drawn towards those of their category, the more the less sure they are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.slope import Z95
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
# A category with fewer estimates does not tell how much its products differ.
MIN_PRODUCTS = 5


@dataclass(frozen=True)
class Prior:
    """How the true elasticities of a category are spread: normally.

    Attributes:
        mean: of them.
        deviation: tau, standard deviation between products; 0 where the estimates differ no more than by chance.
        error: standard error of the mean.
    """

    mean: float
    deviation: float
    error: float


def fit_prior(estimates: Floats, errors: Floats) -> Prior:
    """Mean and spread by the method of moments.

    With w = 1 / s^2 and the weighted mean m, Q = sum(w (e - m)^2) is k - 1 on average where products do not differ, and
    tau^2 = max(0, (Q - (k - 1)) / (sum(w) - sum(w^2) / sum(w))): DerSimonian & Laird 1986, Meta-analysis in clinical
    trials. The mean then weighs by 1 / (s^2 + tau^2).

    Args:
        estimates: (products,) elasticities e.
        errors: (products,) their standard errors s, above 0.

    Raises:
        DataError: there are fewer than two estimates, or an error is not above 0.
    """
    if len(estimates) < 2 or not (errors > 0).all():
        raise DataError("too few estimates to shrink", allowed="two or more, with standard errors above 0")
    weights = 1 / errors**2
    total = weights.sum()
    excess = weights @ (estimates - weights @ estimates / total) ** 2 - (len(estimates) - 1)
    variance = max(0.0, float(excess / (total - (weights @ weights) / total)))
    weights = 1 / (errors**2 + variance)
    return Prior(float(weights @ estimates / weights.sum()), variance**0.5, float(weights.sum() ** -0.5))


def shrink(by_product: pd.DataFrame, categories: "pd.Series[str]", least: float = 0.1) -> pd.DataFrame:
    """The posterior of every product's elasticity, given how its category's are spread.

    The mean is b m + (1 - b) e with b = s^2 / (s^2 + tau^2), its variance (1 - b) s^2 + b^2 v with v that of m: Efron &
    Morris 1975, Data analysis using Stein's estimator and its generalizations; Morris 1983. A product without an
    estimate of its own stands at the mean, with the spread as its error. A category of fewer than `MIN_PRODUCTS`
    estimates takes the mean and spread of all.

    Args:
        by_product: product_id, rows, elasticity, standard_error; the last two may be missing.
        categories: product_id -> category; products that are absent share one category.
        least: smallest answer to a price that pricing may count on, positive.

    Returns:
        `by_product` with category, shrunk, shrunk_error, low and high (95 %), and `sensitivity`: minus the shrunk
        elasticity, at least `least`. A demand that rose with its price would have no best price.

    Raises:
        DataError: fewer than two products have an estimate.
    """
    rows = by_product.assign(category=by_product["product_id"].map(categories).fillna(""))
    usable = rows["elasticity"].notna() & (rows["standard_error"] > 0)
    overall = _prior_of(rows[usable])
    counts = rows[usable].groupby("category").size()
    priors = {
        name: _prior_of(rows[usable & (rows["category"] == name)]) for name in counts[counts >= MIN_PRODUCTS].index
    }
    found = [priors.get(name, overall) for name in rows["category"]]
    means, errors = _posterior(rows.where(usable), found)
    return rows.assign(
        shrunk=means,
        shrunk_error=errors,
        low=means - Z95 * errors,
        high=means + Z95 * errors,
        sensitivity=np.maximum(-means, least),
    )


def _prior_of(rows: pd.DataFrame) -> Prior:
    return fit_prior(rows["elasticity"].to_numpy(dtype=float), rows["standard_error"].to_numpy(dtype=float))


def _posterior(rows: pd.DataFrame, priors: list[Prior]) -> tuple[Floats, Floats]:
    """(products,) means and standard errors."""
    mean, deviation, error = (np.asarray([getattr(p, name) for p in priors]) for name in ("mean", "deviation", "error"))
    own, variance = rows["elasticity"].to_numpy(dtype=float), rows["standard_error"].to_numpy(dtype=float) ** 2
    known = ~np.isnan(own)
    drawn = np.where(known, variance / (variance + deviation**2), 1.0)
    means = drawn * mean + (1 - drawn) * np.where(known, own, 0.0)
    between = np.where(known, (1 - drawn) * np.where(known, variance, 0.0), deviation**2)
    return means, np.sqrt(between + (drawn * error) ** 2)
