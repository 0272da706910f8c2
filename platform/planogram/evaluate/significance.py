"""Whether one ranking is better than another on the same queries, or merely luckier."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
# Differences that only the order of sums makes.
EQUAL = 1e-9
# Random numbers that are held at once.
DRAWS = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Paired differences of a metric over queries: of one ranking minus of the other.

    Attributes:
        mean: over the queries.
        low, high: 95 % percentile bootstrap interval over resampled queries; the mean without resamples.
        p_value: of the paired permutation test, two-sided; 1 without resamples.
        queries, wins, losses, ties: how many queries, and on how many the first ranking is better, worse, neither.
    """

    mean: float
    low: float
    high: float
    p_value: float
    queries: int
    wins: int
    losses: int
    ties: int


def paired(differences: Floats, resamples: int, seed: int) -> Difference:
    """What the differences of the same queries say.

    Args:
        differences: (queries,) at least one.
        resamples: of the bootstrap and of the permutations; 0: neither.
        seed: of the draws.

    Source: Sakai 2006, Evaluating Evaluation Metrics Based on the Bootstrap; Smucker, Allan & Carterette 2007, A
    Comparison of Statistical Significance Tests for Information Retrieval Evaluation.
    """
    mean = float(differences.mean())
    low, high = quantiles(differences, (0.025, 0.975), resamples, seed)
    wins, losses = int((differences > EQUAL).sum()), int((differences < -EQUAL).sum())
    ties = len(differences) - wins - losses
    p_value = permutation_p(differences, resamples, seed)
    return Difference(mean, low, high, p_value, len(differences), wins, losses, ties)


def quantiles(values: Floats, levels: tuple[float, ...], resamples: int, seed: int) -> tuple[float, ...]:
    """Quantiles of the mean over resampled values; the mean itself without resamples, or of one value alone.

    Args:
        values: (queries,).
        levels: of the quantiles, 0..1.
        resamples: how many.
        seed: of the draws.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap.
    """
    if resamples == 0 or len(values) < 2:
        return tuple(float(values.mean()) for _ in levels)
    generator = np.random.default_rng(seed)
    parts = _parts(resamples, len(values))
    means = [values[generator.integers(0, len(values), (part, len(values)))].mean(axis=1) for part in parts]
    return tuple(float(bound) for bound in np.quantile(np.concatenate(means), levels))


def permutation_p(differences: Floats, resamples: int, seed: int) -> float:
    """Two-sided p-value of the paired permutation test: how often random signs give as large a mean.

    The observed signs count as one of the permutations, so that it is never 0.

    Source: Fisher 1935, The Design of Experiments; Phipson & Smyth 2010 for the added one.
    """
    if resamples == 0:
        return 1.0
    generator = np.random.default_rng(seed)
    observed, hits = abs(differences.mean()) - EQUAL, 0
    for part in _parts(resamples, len(differences)):
        signs = generator.integers(0, 2, (part, len(differences))) * 2 - 1
        hits += int((np.abs((signs * differences).mean(axis=1)) >= observed).sum())
    return (1 + hits) / (1 + resamples)


def _parts(resamples: int, width: int) -> list[int]:
    """Sizes of the parts in which resamples are drawn."""
    size = max(1, DRAWS // width)
    return [min(size, resamples - start) for start in range(0, resamples, size)]
