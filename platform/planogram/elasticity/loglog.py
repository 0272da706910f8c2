"""Log units on log price by least squares: pooled, within products, within products and periods, product by product."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.effects import absorbed, codes, demean
from planogram.elasticity.slope import Estimate, check_varies, slope
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# A product with fewer rows or prices has an elasticity, but no standard error that could be believed.
MIN_ROWS = 10
MIN_PRICES = 3


def log_target(frame: pd.DataFrame, column: str = "units") -> tuple[pd.DataFrame, Floats, int]:
    """The rows that have a logarithm, it, and how many rows of 0 have none.

    Raises:
        DataError: nothing was sold.
    """
    sold = frame[frame[column] > 0].reset_index(drop=True)
    if sold.empty:
        raise DataError(f"no row has {column} above 0", remedy="bring observations of sales")
    return sold, np.log(sold[column].to_numpy(dtype=float)), len(frame) - len(sold)


def fit_ols(
    frame: pd.DataFrame,
    target: Floats,
    effects: Sequence[str] = (),
    covariates: Sequence[str] = (),
    clusters: Integers | None = None,
) -> Estimate:
    """The elasticity of log units = effects + theta log price + covariates + error.

    Args:
        frame: log_price and the named columns.
        target: (rows,) log units.
        effects: columns with a constant for every value; none: one constant.
        covariates: numeric columns, such as whether a product was featured.
        clusters: of the errors; absent: HC1.

    Raises:
        DataError: the price does not vary within the effects, a covariate is missing somewhere, or rows are too few.
    """
    groups = codes(frame, effects)
    columns = np.column_stack([frame["log_price"], target, known(frame, covariates)])
    left = demean(columns, groups)
    residuals, rank = _without(left[:, :2], left[:, 2:])
    estimate = slope(residuals[:, 0], residuals[:, 1], clusters, 1 + rank + absorbed(groups, clusters))
    errors = residuals[:, 1] - estimate.elasticity * residuals[:, 0]
    return replace(estimate, r2=1 - float(errors @ errors) / float(((target - target.mean()) ** 2).sum()))


def fit_by(
    frame: pd.DataFrame, target: Floats, keys: Sequence[str] = ("product_id",), covariates: Sequence[str] = ()
) -> pd.DataFrame:
    """An elasticity of its own for every product, or for every product with and without a feature.

    Args:
        frame: log_price, the keys and the covariates; those that do not vary in a group are left out of it.
        target: (rows,) log units.
        keys: whose values make the groups.
        covariates: held constant on a straight line of the group's own.

    Returns:
        The keys, rows, elasticity, standard_error (HC1); the last two are missing in groups of fewer than `MIN_ROWS`
        rows or `MIN_PRICES` prices, or whose price moves with a covariate alone.
    """
    rows = []
    for places in frame.groupby(list(keys), sort=True).indices.values():
        group = frame.iloc[places].reset_index(drop=True)
        values = group.loc[0, list(keys)]
        rows.append((*values, len(group), *_of_group(group, target[places], covariates)))
    return pd.DataFrame(rows, columns=[*keys, "rows", "elasticity", "standard_error"])


def slopes(frame: pd.DataFrame, price: Floats, target: Floats, key: str = "product_id") -> pd.DataFrame:
    """As `fit_by`, of residuals: no constant is taken out again.

    Args:
        frame: the key.
        price: (rows,) residuals of the log price.
        target: (rows,) residuals of the log units.
        key: whose values make the groups.
    """
    rows = []
    for value, places in frame.groupby(key, sort=True).indices.items():
        rows.append((value, len(places), *_if_enough(price[places], target[places])))
    return pd.DataFrame(rows, columns=[key, "rows", "elasticity", "standard_error"])


def known(frame: pd.DataFrame, covariates: Sequence[str]) -> Floats:
    """(rows, covariates).

    Raises:
        DataError: a value is missing.
    """
    values = frame[list(covariates)].to_numpy(dtype=float)
    if np.isnan(values).any():
        missing = [name for name in covariates if frame[name].isna().any()]
        raise DataError(
            f"covariates {', '.join(missing)} are missing in some rows", remedy="name others, or map them in every row"
        )
    return values


def _of_group(frame: pd.DataFrame, target: Floats, covariates: Sequence[str]) -> tuple[float, float]:
    varying = [name for name in covariates if frame[name].nunique() > 1]
    if not _is_enough(frame["log_price"].to_numpy()):
        return np.nan, np.nan
    try:
        estimate = fit_ols(frame, target, covariates=varying)
    except DataError:  # as of a product that is never cheap without being featured
        return np.nan, np.nan
    return estimate.elasticity, estimate.standard_error


def _if_enough(price: Floats, target: Floats) -> tuple[float, float]:
    if not _is_enough(price):
        return np.nan, np.nan
    estimate = slope(price, target)
    return estimate.elasticity, estimate.standard_error


def _is_enough(price: Floats) -> bool:
    return len(price) >= MIN_ROWS and len(np.unique(price.round(6))) >= MIN_PRICES


def _without(values: Floats, covariates: Floats) -> tuple[Floats, int]:
    """The residuals of values on covariates, and how many of these count."""
    if not covariates.shape[1]:
        check_varies(values[:, 0])
        return values, 0
    fitted, _, rank, _ = np.linalg.lstsq(covariates, values, rcond=None)
    return values - covariates @ fitted, int(rank)
