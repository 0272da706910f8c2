"""Weights of signals, from which products of a query are better than others."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
# Queries with very many products would otherwise decide alone.
MAX_PAIRS_PER_QUERY = 200


def fit_weights(rows: pd.DataFrame, names: list[str]) -> dict[str, float]:
    """Weights of signals: a logistic regression on which of two products of a query is better.

    Two products of one query share everything else, so no query needs a constant of its own. A pair counts by how
    different its grades are, and by how sure both are: w v / (w + v) for the weights w and v of its two rows.

    Args:
        rows: query, grade, weight, and a column 0..1 for each signal.
        names: of the signals.

    Returns:
        Signal -> weight, the largest 1 or -1; signals that never differ within a query are left out.

    Raises:
        DataError: no query has two products of different grades.

    Source: Herbrich et al. 2000, Large Margin Rank Boundaries for Ordinal Regression, for pairs of differences; Burges
    et al. 2005 for the logistic loss.
    """
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    parts = [_pairs(group, names, generator) for _, group in rows.groupby("query", sort=True)]
    differences = np.concatenate([part[0] for part in parts])
    counts = np.concatenate([part[1] for part in parts])
    if not len(differences):
        raise DataError("no query has two products of different grades", remedy="bring more judgments or clicks")
    varying = np.ptp(np.vstack([differences, np.zeros(len(names))]), axis=0) > 0
    if not varying.any():
        raise DataError("no signal differs within a query", allowed=", ".join(names), remedy="name other signals")
    # Half of the pairs turned round: a classifier wants to see both answers.
    turn = np.where(np.arange(len(differences)) % 2, 1.0, -1.0)
    model = LogisticRegression(fit_intercept=False)
    model.fit(differences[:, varying] * turn[:, None], turn > 0, sample_weight=counts / counts.mean())
    largest = np.abs(model.coef_[0]).max()
    if not largest > 0:
        raise DataError("no signal tells which product is better", remedy="name other signals, or bring more data")
    found = model.coef_[0] / largest
    kept = np.asarray(names)[varying].tolist()
    return {name: round(float(weight), 4) for name, weight in zip(kept, found, strict=True)}


def _pairs(group: pd.DataFrame, names: list[str], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Of one query: (pairs, signals) better minus worse, and (pairs,) how much each counts."""
    grades, weights = group["grade"].to_numpy(dtype=float), group["weight"].to_numpy(dtype=float)
    better, worse = np.nonzero(grades[:, None] > grades[None, :])
    if len(better) > MAX_PAIRS_PER_QUERY:
        chosen = generator.choice(len(better), MAX_PAIRS_PER_QUERY, replace=False)
        better, worse = better[chosen], worse[chosen]
    values = group[names].to_numpy(dtype=float)
    sure = weights[better] * weights[worse] / (weights[better] + weights[worse])
    return values[better] - values[worse], (grades[better] - grades[worse]) * sure
