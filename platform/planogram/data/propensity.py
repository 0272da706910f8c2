"""Position bias: how much less a lower position is looked at, from click logs, and what to weigh clicks by.

All follows the position-based model: a product is clicked when its position is examined and the product is relevant,
the two being independent, P(click) = theta[position] * gamma[query, product] (Richardson et al. 2007; Craswell et al.
2008). Only the product can be seen, so examination is relative: theta is 1 at position 1, and gamma is the probability
of a click at position 1.

Positions are 1-based; arrays over positions have position k at index k - 1.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# Keeps logarithms and quotients finite.
_FLOOR = 1e-6


@dataclass(frozen=True)
class PositionBias:
    """The position-based model as fitted to a log.

    Attributes:
        propensities: (positions,) float64 in (0, 1], examination relative to position 1.
        relevance: (impressions,) float64, the probability of a click on each one, had it stood at position 1.
        log_likelihood: (iterations,) of all clicks after each iteration, in nats; with `pairs`, plus the logarithm of
            their prior up to a constant, which never falls.
    """

    propensities: Floats
    relevance: Floats
    log_likelihood: Floats


def randomised_propensities(impressions: pd.DataFrame, smoothing: float = 1.0) -> Floats:
    """Examination by position where chance alone chose what stands there: the ratio of click rates.

    Args:
        impressions: rows of randomised pages only, with `position` and `clicked` (bool).
        smoothing: impressions with the average click rate that are added to every position, above 0.

    Returns:
        (positions,) float64, 1 at position 1; above 1 where a lower position is clicked more.

    Raises:
        DataError: no rows, no click, or a position without impressions.

    Source: Wang et al. 2018, Position Bias Estimation for Unbiased Learning to Rank in Personal Search, section 3.1.
    """
    position, clicked = impressions["position"].to_numpy(np.int64), impressions["clicked"].to_numpy(np.bool_)
    return _relative_rates(*_counts(position, clicked), smoothing)


def regression_em(
    position: Ints,
    clicked: Bools,
    *,
    pairs: Ints | None = None,
    features: Floats | None = None,
    regressor: Any = None,
    prior_impressions: float = 0.1,
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> PositionBias:
    """Examination by position from ordinary, ranked pages: the position-based model by expectation maximisation.

    E: the probability that each impression was examined, and that its product was relevant, given the click or its
    absence. M: theta is the mean of the former by position; gamma is the mean of the latter by pair, or a classifier
    fitted to the latter as soft labels (where Wang et al. draw labels at random). It needs pairs, or products of like
    features, that stood at several positions; it cannot find a position above 1 that is examined more than the first.

    Args:
        position: (impressions,) 1-based.
        clicked: (impressions,).
        pairs: (impressions,) number of each (query, product), 0 or more; give either this or `features`.
        features: (impressions, features) of query and product, without anything that tells the position.
        regressor: with `features`, a scikit-learn classifier that takes sample weights; absent: gradient-boosted trees.
            It is refitted in every iteration.
        prior_impressions: with `pairs`, imagined impressions of every pair with the click rate of position 1. Few are
            best: they make pairs alike, and so put down to position what is relevance.
        max_iterations: at most so many.
        tolerance: stop when no propensity and no relevance changes by more.

    Returns:
        The fitted model.

    Raises:
        DataError: no rows, no click, a position without impressions, or not exactly one of `pairs` and `features`.

    Source: Wang et al. 2018, Position Bias Estimation for Unbiased Learning to Rank in Personal Search.
    """
    shown, clicks = _counts(position, clicked)
    prior = float(np.clip(clicks[0] / shown[0], _FLOOR, 1 - _FLOOR))
    relevance: _Relevance
    if pairs is not None and features is None:
        cells, rows = _cells(position, clicked, pairs)
        relevance = _PairMeans(cells, prior, prior_impressions)
    elif features is not None and pairs is None:
        distinct, numbers = np.unique(features, axis=0, return_inverse=True)
        cells, rows = _cells(position, clicked, numbers)
        relevance = _Regression(cells, distinct, regressor)
    else:
        raise DataError("relevance is given neither or both ways", allowed="either pairs or features")
    start = np.clip(_relative_rates(shown, clicks, smoothing=1.0), _FLOOR, 1.0)
    theta, gamma, history = _maximise(cells, relevance, start, prior, (max_iterations, tolerance))
    return PositionBias(theta, gamma[rows], np.asarray(history))


def unbiased_targets(
    position: Ints, clicked: Bools, pairs: Ints, propensities: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Targets and weights for pointwise losses: one example per (query, product) instead of one per impression.

    Saito et al. give an impression the unbiased loss c/p l(1) + (1 - c/p) l(0). A click then weighs 1/p, and l(0) may
    weigh less than nothing. Two steps make it sane. Each impression is weighted by its p, as the less it was examined
    the less it tells: c l(1) + (p - c) l(0), which divides by no small p. And the impressions of a pair are added up
    before anything is cut off: with C clicks and P = sum of p, the expected number of examinations, the loss is
    C l(1) + max(P - C, 0) l(0): the target C / max(P, C) with the weight max(P, C). Where nothing is cut off, its
    expectation is least at gamma; a pair of which something is was hardly shown, and weighs little.

    Args:
        position: (impressions,) 1-based.
        clicked: (impressions,).
        pairs: (impressions,) number of each (query, product): 0 to pairs - 1.
        propensities: (positions,) examination relative to position 1.

    Returns:
        Targets (pairs,) float32 in 0..1, and weights (pairs,) float32 above 0; 0 for a number that never occurs.

    Raises:
        DataError: a position that has no propensity.

    Source: Saito et al. 2020, Unbiased Recommender Learning from Missing-Not-At-Random Implicit Feedback.
    """
    clicks = np.bincount(pairs, clicked)
    weights = np.maximum(np.bincount(pairs, _propensity_of(position, propensities)), clicks)
    targets = np.divide(clicks, weights, out=np.zeros_like(weights), where=weights > 0)
    return targets.astype(np.float32), weights.astype(np.float32)


@dataclass(frozen=True)
class _Cells:
    """Impressions with the same pair and position, which the model cannot tell apart, counted together.

    Attributes:
        position: (cells,) 1-based.
        pair: (cells,) number.
        shown: (cells,) impressions.
        clicks: (cells,) those that were clicked.
    """

    position: Ints
    pair: Ints
    shown: Floats
    clicks: Floats


class _Relevance(Protocol):
    """How gamma is estimated anew from what the E step makes of each cell."""

    def fit(self, relevant: Floats) -> Floats:
        """Gamma of each cell, from the expected number of its impressions that were relevant."""

    def log_prior(self) -> float:
        """Of the gamma fitted last, up to a constant."""


class _PairMeans:
    """One gamma per pair, drawn towards a common one: the mode under the prior Beta(1 + s m, 1 + s (1 - m))."""

    def __init__(self, cells: _Cells, mean: float, strength: float) -> None:
        self.pair = cells.pair
        self.shown = np.bincount(cells.pair, cells.shown)
        self.mean, self.strength = mean, strength
        self.gamma = np.full(len(self.shown), mean)

    def fit(self, relevant: Floats) -> Floats:
        expected = np.bincount(self.pair, relevant) + self.strength * self.mean
        self.gamma = np.clip(expected / np.maximum(self.shown + self.strength, _FLOOR), _FLOOR, 1 - _FLOOR)
        return self.gamma[self.pair]

    def log_prior(self) -> float:
        terms = self.mean * np.log(self.gamma) + (1 - self.mean) * np.log1p(-self.gamma)
        return float(self.strength * terms.sum())


class _Regression:
    """Gamma as a function of features, of which each distinct row is one pair."""

    def __init__(self, cells: _Cells, features: Floats, regressor: Any) -> None:
        self.pair = cells.pair
        self.shown = np.bincount(cells.pair, cells.shown)
        self.features = features
        self.regressor = regressor or _boosting()

    def fit(self, relevant: Floats) -> Floats:
        # A soft label is both labels, each with its share of the weight.
        positive = np.bincount(self.pair, relevant)
        weights = np.concatenate([positive, self.shown - positive])
        labels = np.repeat([True, False], len(positive))
        self.regressor.fit(np.concatenate([self.features, self.features]), labels, sample_weight=weights)
        gamma: Floats = self.regressor.predict_proba(self.features)[:, 1]
        return np.clip(gamma, _FLOOR, 1 - _FLOOR)[self.pair]

    def log_prior(self) -> float:
        return 0.0


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would hold out rows whose twin of the other label is trained on. A row stands for many impressions:
    # the penalty, which counts these, limits the leaves, and not the number of rows, of which a pair has two.
    return HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=2, l2_regularization=1.0, early_stopping=False, random_state=0
    )


def _maximise(
    cells: _Cells, relevance: _Relevance, theta: Floats, prior: float, stop: tuple[int, float]
) -> tuple[Floats, Floats, list[float]]:
    max_iterations, tolerance = stop
    index = cells.position - 1
    shown = np.bincount(index, cells.shown)
    gamma = np.full(len(index), prior)
    history: list[float] = []
    change = np.inf
    while len(history) < max_iterations and change > tolerance:
        examined, relevant = _expectations(cells, theta[index], gamma)
        # Position 1 stays at exactly 1: what is surely examined is so in the next iteration too.
        last = theta, gamma
        theta = np.clip(np.bincount(index, examined) / shown, _FLOOR, 1.0)
        gamma = relevance.fit(relevant)
        # Of both: from equal gamma, the first step leaves theta where it is.
        change = max(float(np.abs(new - old).max()) for new, old in zip((theta, gamma), last, strict=True))
        history.append(_log_likelihood(cells, theta[index] * gamma) + relevance.log_prior())
    return theta, gamma, history


def _expectations(cells: _Cells, theta: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """(cells,) expected numbers of impressions that were examined, and that were relevant."""
    ignored = (cells.shown - cells.clicks) / (1 - theta * gamma)
    return cells.clicks + ignored * theta * (1 - gamma), cells.clicks + ignored * gamma * (1 - theta)


def _log_likelihood(cells: _Cells, probability: Floats) -> float:
    ignored = cells.shown - cells.clicks
    return float((cells.clicks * np.log(probability) + ignored * np.log1p(-probability)).sum())


def _cells(position: Ints, clicked: Bools, pairs: Ints) -> tuple[_Cells, Ints]:
    """The cells, and the cell of each impression."""
    width = int(position.max()) + 1
    keys, rows = np.unique(pairs * width + position, return_inverse=True)
    # Pairs are renumbered, so that gaps in the numbers cost no memory.
    pair = np.unique(keys // width, return_inverse=True)[1]
    shown = np.bincount(rows).astype(np.float64)
    clicks = np.bincount(rows, clicked).astype(np.float64)
    return _Cells(keys % width, pair, shown, clicks), rows


def _counts(position: Ints, clicked: Bools) -> tuple[Floats, Floats]:
    """(positions,) impressions and clicks.

    Raises:
        DataError: no rows, no click, or a position without impressions.
    """
    if not len(position) or position.min() < 1 or not clicked.any():
        raise DataError(
            f"{len(position)} impressions with {int(clicked.sum())} clicks at positions"
            f" from {position.min() if len(position) else 'none'} do not tell the position bias",
            allowed="impressions with at least one click, at positions from 1",
            remedy="log more traffic, or check how clicks are joined to impressions",
        )
    shown = np.bincount(position - 1).astype(np.float64)
    empty = np.flatnonzero(shown == 0) + 1
    if len(empty):
        raise DataError(
            f"no impressions at positions {', '.join(map(str, empty[:10]))}, but below them",
            allowed="impressions at every position from 1 to the last",
            remedy="number the positions of products without gaps, or leave out what stands below",
        )
    return shown, np.bincount(position - 1, clicked).astype(np.float64)


def _relative_rates(shown: Floats, clicks: Floats, smoothing: float) -> Floats:
    rates: Floats = (clicks + smoothing * clicks.sum() / shown.sum()) / (shown + smoothing)
    return rates / rates[0]


def _propensity_of(position: Ints, propensities: Floats) -> Floats:
    if len(position) and not 1 <= position.min() <= position.max() <= len(propensities):
        raise DataError(
            f"positions {position.min()} to {position.max()}",
            allowed=f"1 to {len(propensities)}, the positions whose propensity is known",
            remedy="estimate the propensities from a log that has these positions, or leave the rows out",
        )
    return propensities[position - 1]
