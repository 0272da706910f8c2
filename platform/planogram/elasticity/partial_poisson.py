"""The cross-fitted elasticity of units that may be 0."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.learners import BoostedPoisson, MakeLearner
from planogram.elasticity.partial import cross_fit
from planogram.elasticity.slope import Estimate, check_varies, sandwich
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# How often the expectation of units at the present elasticity is learned again, and from which change on it is not.
MAX_ROUNDS = 10
ENOUGH = 0.01


def partial_poisson(
    frame: pd.DataFrame,
    features: Sequence[str],
    units: Floats,
    folds: int,
    groups: Integers,
    learner: MakeLearner,
    *,
    clusters: Integers | None = None,
) -> Estimate:
    """The elasticity theta of E[units | price, x] = exp(theta log price + g(x)), of units that may be 0.

    With r the residual of the log price, theta solves sum((units exp(-theta r) - h(x)) r) = 0, where h(x) is the
    expectation of units exp(-theta r) given x, cross-fitted by boosted Poisson trees, and again until theta settles.
    The derivative of that sum by either nuisance is 0 on average (Neyman orthogonality, Chernozhukov et al. 2018,
    section 2), as it is for `partial_out`.

    Args:
        frame: log_price and the features.
        features: x.
        units: (rows,) 0 or more.
        folds: how many.
        groups: (rows,) rows of one group are in one fold.
        learner: of the log price; see `learners`.
        clusters: (rows,) of the errors; absent: HC1.

    Raises:
        DataError: as `partial_out`; or theta does not settle.
    """
    log_price = frame["log_price"].to_numpy(dtype=float)
    price = log_price - cross_fit(frame, features, log_price, folds, groups, learner).oof
    check_varies(price)
    theta = 0.0
    for _ in range(MAX_ROUNDS):
        at_mean_price = units * np.exp(-theta * price)
        expected = np.exp(cross_fit(frame, features, at_mean_price, folds, groups, BoostedPoisson).oof)
        before, theta = theta, _solve(price, units, expected, theta)
        if abs(theta - before) <= ENOUGH:
            return _poisson_estimate(price, units, expected, theta, clusters)
    raise DataError(f"the elasticity did not settle in {MAX_ROUNDS} rounds", remedy="bring more observations")


def _solve(price: Floats, units: Floats, expected: Floats, theta: float) -> float:
    """The root of the score, by Newton's method with steps of at most 1."""
    for _ in range(100):
        adjusted = units * np.exp(-theta * price)
        step = float((adjusted - expected) @ price) / float(adjusted @ price**2)
        theta += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-10:
            return theta
    raise DataError("the score of the elasticity has no root", remedy="bring more observations at several prices")


def _poisson_estimate(
    price: Floats, units: Floats, expected: Floats, theta: float, clusters: Integers | None
) -> Estimate:
    adjusted = units * np.exp(-theta * price)
    error = sandwich(float(adjusted @ price**2), (adjusted - expected) * price, clusters, 1)
    return Estimate(theta, error, len(units))
