"""Ranking and grading metrics, per query where they rank, with bootstrap intervals over queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score

from planogram.evaluate.lists import by_query

Floats = npt.NDArray[np.floating]
Groups = npt.NDArray[np.int64]
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its 95 % bootstrap interval; `low` and `high` equal the mean without resamples."""

    mean: float
    low: float
    high: float


def per_query(grades: Floats, scores: Floats, groups: Groups, k: int) -> dict[str, Floats]:
    """NDCG, MRR and recall at k of every query that has two candidates or more.

    NDCG gains are 2^grade - 1 (Burges et al. 2005; Järvelin & Kekäläinen 2002 for the discount); tied scores share
    their gain (McSherry & Najork 2008). MRR and recall count as relevant what has the query's highest grade, if that
    is not also its lowest.

    Args:
        grades: (examples,) judged grades, 0 or more.
        scores: (examples,) higher is better.
        groups: (examples,) number of the query.
        k: cut-off.

    Returns:
        Metric name -> (queries,). Queries without any grade above their lowest are left out of MRR and recall.
    """
    frame = by_query(grades, scores, groups, k)
    return {str(name): column.dropna().to_numpy() for name, column in frame.items()}


def retrieval_metrics(scores: Floats, good: Mapping[int, set[int]], k: int) -> dict[str, float]:
    """NDCG, MRR and recall at k of searches over all candidates, with binary relevance; mean over queries.

    Args:
        scores: (queries, candidates) higher is better.
        good: query -> its relevant candidates, at least one.
        k: cut-off.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    rows: list[tuple[float, float, float]] = []
    for query, relevant in good.items():
        found = np.asarray([int(c) in relevant for c in np.argsort(-scores[query], kind="stable")[:k]])
        possible = min(k, len(relevant))
        first = 1 / (int(found.argmax()) + 1) if found.any() else 0.0
        gain = float((found * discounts[: len(found)]).sum() / discounts[:possible].sum())
        rows.append((gain, first, float(found.sum() / possible)))
    means = np.mean(rows, axis=0)
    return {f"{name}@{k}": float(value) for name, value in zip(("ndcg", "mrr", "recall"), means, strict=True)}


def bootstrap(values: Floats, resamples: int, seed: int) -> Interval:
    """Mean of the values with its 95 % percentile interval over resampled values.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap.
    """
    mean = float(values.mean())
    if resamples == 0 or len(values) < 2:
        return Interval(mean, mean, mean)
    generator = np.random.default_rng(seed)
    means = values[generator.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean, float(low), float(high))


def fit_cutoffs(grades: Floats, scores: Floats) -> tuple[float, ...]:
    """Score thresholds between neighbouring grades that maximise quadratic kappa.

    They start where the predicted grades have the judged shares, and are then improved one at a time over the
    quantiles of the scores.

    Args:
        grades: (examples,) judged.
        scores: (examples,) of the same examples.

    Returns:
        One threshold fewer than there are different grades, rising.
    """
    levels = np.unique(grades)
    shares = np.cumsum([(grades == level).mean() for level in levels])[:-1]
    cutoffs = np.quantile(scores, shares)
    candidates = np.quantile(scores, np.linspace(0.01, 0.99, 99))
    for _ in range(3):
        for index in range(len(cutoffs)):
            low = cutoffs[index - 1] if index else -np.inf
            high = cutoffs[index + 1] if index + 1 < len(cutoffs) else np.inf
            trials = [*candidates[(candidates > low) & (candidates < high)], cutoffs[index]]
            kappas = [_kappa_at(grades, scores, levels, _replaced(cutoffs, index, trial)) for trial in trials]
            cutoffs = _replaced(cutoffs, index, trials[int(np.argmax(kappas))])
    return tuple(float(cutoff) for cutoff in cutoffs)


def _replaced(cutoffs: Floats, index: int, value: float) -> Floats:
    changed = cutoffs.copy()
    changed[index] = value
    return changed


def _kappa_at(grades: Floats, scores: Floats, levels: Floats, cutoffs: Floats) -> float:
    return quadratic_kappa(np.searchsorted(levels, grades), np.searchsorted(cutoffs, scores, side="right"))


def grade_of(scores: Floats, cutoffs: Sequence[float], levels: Floats) -> Floats:
    """The grade of each score: the level that its interval between the cutoffs stands for."""
    return levels[np.searchsorted(np.asarray(cutoffs), scores, side="right")]


def quadratic_kappa(grades: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """Cohen's kappa with quadratic weights of two gradings; 0 where it is undefined, since one grade is all there is.

    Source: Cohen 1968, Weighted kappa.
    """
    # sklearn takes labels, and treats floats as continuous.
    levels = np.unique(np.concatenate([grades, predicted]))
    if len(levels) < 2:
        return 0.0
    truth, guess = np.searchsorted(levels, grades), np.searchsorted(levels, predicted)
    return float(cohen_kappa_score(truth, guess, weights="quadratic"))


def binary_metrics(targets: npt.NDArray[np.bool_], probabilities: Floats) -> dict[str, float]:
    """AUC, log loss and calibration error of probabilities; empty where only one class occurs."""
    if targets.all() or not targets.any():
        return {}
    return {
        "auc": float(roc_auc_score(targets, probabilities)),
        "log_loss": float(log_loss(targets, np.clip(probabilities, 1e-7, 1 - 1e-7))),
        "calibration_error": calibration_error(targets.astype(np.float64), probabilities),
    }


def decisions(targets: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy, F1 of the positive class and its mean over both classes."""
    return {
        "accuracy": float((targets == predicted).mean()),
        "f1": float(f1_score(targets, predicted, zero_division=0)),
        "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
    }


def fit_threshold(targets: npt.NDArray[np.bool_], scores: Floats, objective: str) -> float:
    """The score from which on an example counts as positive, so that `f1` or `macro_f1` is largest.

    Args:
        targets: (examples,).
        scores: (examples,) of the same examples.
        objective: f1 or macro_f1.

    Returns:
        The middle between two neighbouring scores.
    """
    order = np.argsort(scores, kind="stable")
    positive = targets[order].astype(np.float64)
    # Index i: the i lowest scores are negative.
    missed = np.concatenate([[0.0], positive.cumsum()])
    rejected = np.arange(len(order) + 1) - missed
    hits, false = positive.sum() - missed, (len(order) - positive.sum()) - rejected
    f1 = 2 * hits / np.maximum(2 * hits + false + missed, 1)
    if objective == "macro_f1":
        f1 = (f1 + 2 * rejected / np.maximum(2 * rejected + false + missed, 1)) / 2
    ranked = scores[order]
    # A threshold cannot stand between equal scores.
    between = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    best = int(np.argmax(np.where(between, f1, -1.0)))
    if best in (0, len(order)):
        return float(ranked[0] if best == 0 else np.nextafter(ranked[-1], np.inf))
    return float((ranked[best - 1] + ranked[best]) / 2)


def calibration_error(targets: Floats, probabilities: Floats) -> float:
    """Expected calibration error over bins of equal count.

    Args:
        targets: (examples,) 0..1.
        probabilities: (examples,) 0..1.

    Source: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; Nguyen & O'Connor 2015
    for bins of equal count.
    """
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        abs(targets[rows].mean() - probabilities[rows].mean()) * len(rows)
        for rows in np.array_split(order, CALIBRATION_BINS)
        if len(rows)
    ]
    return float(sum(gaps) / len(order))
