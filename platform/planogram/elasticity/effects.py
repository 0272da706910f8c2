"""Fixed effects: what products, periods or stores have in common is taken out without a dummy for each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MAX_SWEEPS = 10_000


def codes(frame: pd.DataFrame, names: Sequence[str]) -> list[Integers]:
    """(rows,) numbers from 0 of each column's values; without a column all rows are one group: a constant."""
    if not names:
        return [np.zeros(len(frame), dtype=np.int64)]
    return [pd.factorize(frame[name])[0].astype(np.int64) for name in names]


def demean(
    values: Floats, effects: Sequence[Integers], weights: Floats | None = None, tolerance: float = 1e-9
) -> Floats:
    """The residuals of a (weighted) regression on dummies of every effect.

    One effect after another is taken out until nothing changes: alternating projections, Guimaraes & Portugal 2010, A
    Simple Feasible Procedure to Fit Models with High-dimensional Fixed Effects; Gaure 2013.

    Args:
        values: (rows, columns).
        effects: (rows,) group numbers of each effect.
        weights: (rows,) positive; absent: all 1.
        tolerance: largest change of a last sweep, as a share of a column's standard deviation.

    Returns:
        (rows, columns).

    Raises:
        DataError: the sweeps do not end.
    """
    left: Floats = values.astype(np.float64)
    weight = np.ones(len(left)) if weights is None else weights
    limits = tolerance * np.maximum(left.std(axis=0), np.finfo(float).tiny)
    totals = [_sums(weight, group) for group in effects]
    for _ in range(MAX_SWEEPS):
        before = left
        for group, total in zip(effects, totals, strict=True):
            left = left - _means(left, group, weight, total)[group]
        if len(effects) == 1 or (np.abs(left - before).max(axis=0) <= limits).all():
            return left
    raise DataError(
        f"fixed effects did not settle in {MAX_SWEEPS} sweeps", remedy="take out fewer effects, or join small groups"
    )


def absorbed(effects: Sequence[Integers], clusters: Integers | None = None) -> int:
    """Parameters that the effects stand for: all levels less the constant that each further effect shares.

    An effect within clusters costs none there, as a cluster's sum of scores is free of it (Cameron & Miller 2015,
    section III.B). Dependencies between effects beyond the constant are not looked for: errors are then a little wide.
    """
    counted = [group for group in effects if clusters is None or not _is_within(group, clusters)]
    return sum(int(group.max()) + 1 for group in counted) - max(len(counted) - 1, 0)


def _means(values: Floats, group: Integers, weight: Floats, total: Floats) -> Floats:
    """(groups, columns)."""
    sums: Floats = np.column_stack([_sums(weight * column, group) for column in values.T])
    return sums / total[:, None]


def _sums(values: Floats, group: Integers) -> Floats:
    """(groups,)."""
    return np.bincount(group, values).astype(np.float64)


def _is_within(group: Integers, clusters: Integers) -> bool:
    pairs = pd.DataFrame({"group": group, "cluster": clusters}).drop_duplicates()
    return not pairs["group"].duplicated().any()
