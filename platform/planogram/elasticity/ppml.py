"""Poisson pseudo-maximum likelihood: constant elasticities from units that may be 0."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.effects import absorbed, codes, demean
from planogram.elasticity.loglog import known
from planogram.elasticity.slope import Estimate, check_varies, sandwich
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MAX_STEPS = 200
TOLERANCE = 1e-8


def fit_ppml(
    frame: pd.DataFrame,
    units: Floats,
    effects: Sequence[str] = (),
    covariates: Sequence[str] = (),
    clusters: Integers | None = None,
) -> Estimate:
    """The elasticity of E[units] = exp(effects + theta log price + covariates).

    It needs no logarithm of 0, and is consistent whatever the variance of units, where least squares of the logarithm
    are biased when the variance changes with the price: Santos Silva & Tenreyro 2006, The Log of Gravity. Fitted by
    iteratively reweighted least squares, in which the effects are taken out within each step (Correia, Guimaraes &
    Zylkin 2020). A group in which nothing was sold tells nothing and is left out.

    Args:
        frame: log_price and the named columns.
        units: (rows,) 0 or more.
        effects: columns with a constant for every value; none: one constant.
        covariates: numeric columns.
        clusters: of the errors; absent: HC1.

    Raises:
        DataError: the price does not vary within the effects, a covariate is missing, or the fit does not settle.
    """
    kept = sold_somewhere(frame, units, effects)
    frame, units = frame[kept].reset_index(drop=True), units[kept]
    clusters = None if clusters is None else clusters[kept]
    groups = codes(frame, effects)
    columns = np.column_stack([frame["log_price"], known(frame, covariates)])
    mean, price = _settle(columns, units, groups)
    check_varies(price)
    parameters = columns.shape[1] + absorbed(groups, clusters)
    information = float(mean @ price**2)
    error = sandwich(information, price * (units - mean), clusters, parameters)
    return Estimate(_last_step(columns, units, mean, groups), error, len(units))


def sold_somewhere(frame: pd.DataFrame, units: Floats, effects: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(rows,) whether every group of the row sold something; others have no finite constant."""
    kept = np.ones(len(frame), dtype=bool)
    while True:
        before = kept.sum()
        for group in codes(frame, effects):
            kept &= np.bincount(group, units * kept)[group] > 0
        if kept.sum() == before:
            return kept


def _settle(columns: Floats, units: Floats, groups: list[Integers]) -> tuple[Floats, Floats]:
    """(rows,) the fitted means, and what all else leaves of the log price under their weights."""
    mean = (units + units.mean()) / 2
    deviance = np.inf
    for _ in range(MAX_STEPS):
        left = demean(np.column_stack([_working(units, mean), columns]), groups, mean)
        coefficients = _weighted(left[:, 1:], left[:, 0], mean)
        # The residual of the working response is free of the effects, so the rest of it is the linear predictor.
        predictor = _working(units, mean) - (left[:, 0] - left[:, 1:] @ coefficients)
        mean = np.exp(predictor)
        before, deviance = deviance, _deviance(units, mean)
        if abs(before - deviance) <= TOLERANCE * max(deviance, 1.0):
            left = demean(columns, groups, mean)
            return mean, left[:, 0] - left[:, 1:] @ _weighted(left[:, 1:], left[:, 0], mean)
    raise DataError(f"the Poisson fit did not settle in {MAX_STEPS} steps", remedy="take out fewer effects")


def _last_step(columns: Floats, units: Floats, mean: Floats, groups: list[Integers]) -> float:
    left = demean(np.column_stack([_working(units, mean), columns]), groups, mean)
    return float(_weighted(left[:, 1:], left[:, 0], mean)[0])


def _working(units: Floats, mean: Floats) -> Floats:
    return np.log(mean) + (units - mean) / mean


def _weighted(design: Floats, target: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    found: Floats = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0].astype(np.float64)
    return found


def _deviance(units: Floats, mean: Floats) -> float:
    logs = np.where(units > 0, units * np.log(np.where(units > 0, units, 1.0) / mean), 0.0)
    return float(2 * (logs - (units - mean)).sum())
