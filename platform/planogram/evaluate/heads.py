"""What a head's scores are worth: ranking, grading, decisions and calibration, and what is fitted to them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from planogram.data.examples import Examples, TaskSpec
from planogram.errors import ConfigError
from planogram.evaluate.metrics import (
    binary_metrics,
    decisions,
    fit_cutoffs,
    fit_threshold,
    grade_of,
    per_query,
    quadratic_kappa,
)
from planogram.registry.bundle import Calibration, Head

# More grades than this are a continuous scale, which has no cutoffs.
MAX_GRADES = 20
MAX_RESAMPLES = 200
Scores = npt.NDArray[np.float32]


def head_metrics(head: Head, spec: TaskSpec, examples: Examples, scores: Scores, k: int = 10) -> dict[str, float]:
    """Metrics of one head.

    Args:
        head: with cutoffs, where its task has them.
        spec: the task.
        examples: with grades.
        scores: (examples,) 0..1.
        k: cut of the ranking metrics.
    """
    return ranking_means(spec, examples, scores, k) | graded_metrics(head, spec, examples, scores)


def ranking_means(spec: TaskSpec, examples: Examples, scores: Scores, k: int = 10) -> dict[str, float]:
    """Means over lists; empty where nothing is ranked."""
    if not spec.ranks or len(np.unique(examples.groups)) == len(examples):
        return {}
    found = per_query(examples.grades, scores, examples.groups, k)
    return {name: float(values.mean()) for name, values in found.items() if len(values)}


def graded_metrics(head: Head, spec: TaskSpec, examples: Examples, scores: Scores) -> dict[str, float]:
    """Metrics at the cutoffs; AUC, log loss and calibration of the upper half of the grades; rank correlation."""
    targets = examples.grades > (head.low + head.high) / 2
    metrics = binary_metrics(targets, scores) | _correlation(examples, scores)
    if spec.objective is None or not head.cutoffs:
        return metrics
    if spec.objective == "kappa":
        return metrics | {
            "kappa": quadratic_kappa(examples.grades, grade_of(scores, head.cutoffs, np.asarray(head.grades)))
        }
    return metrics | decisions(targets, scores >= head.cutoffs[0])


def graded_intervals(
    head: Head, spec: TaskSpec, examples: Examples, scores: Scores, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of `graded_metrics`, over resampled groups: the rows of one query or user go together.

    Args:
        head: with cutoffs, where its task has them.
        spec: the task.
        examples: with grades and groups.
        scores: (examples,) 0..1.
        resamples: how many; more than `MAX_RESAMPLES` are not drawn, since each computes every metric anew.
        seed: of the draws.

    Returns:
        Metric -> (low, high); empty with fewer than two groups. A resample of one class alone has no AUC.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap; Field & Welsh 2007 for whole clusters.
    """
    found: dict[str, list[float]] = {}
    for drawn in _resampled(examples, resamples, seed):
        for name, value in graded_metrics(head, spec, examples.take(drawn), scores[drawn]).items():
            found.setdefault(name, []).append(value)
    bounds = {name: np.quantile(values, [0.025, 0.975]) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def beside_floor(
    head: Head, examples: Examples, scores: Scores, column: str, resamples: int, seed: int
) -> dict[str, Any]:
    """How much better the scores order than one number does by itself.

    Args:
        head: whose upper half of grades is positive.
        examples: with the column among their features; a missing value counts as their mean.
        scores: (examples,) 0..1.
        column: of the features; more is better.
        resamples: as in `graded_intervals`.
        seed: of the draws.

    Returns:
        `column`, `auc` (of the column), `gain` (of the scores' AUC over it) and `gain_interval` (95 %, of both on the
        same resampled groups).

    Raises:
        ConfigError: the model has no such column, it holds no numbers, or one class alone occurs.
    """
    if column not in examples.features:
        raise ConfigError(
            f"floor={column}, which the model does not read",
            allowed=", ".join(examples.features.columns) or "none: it has no tower.features",
            remedy="choose one of them",
        )
    targets = examples.grades > (head.low + head.high) / 2
    try:
        values = pd.to_numeric(examples.features[column]).to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"floor={column}, which is no number", remedy="choose a numeric feature") from error
    values = np.where(np.isnan(values), np.nanmean(values), values)
    if targets.all() or not targets.any():
        raise ConfigError("floor: all examples are of one class", remedy="evaluate a part that has both")
    gains = [
        _auc_gain(targets[drawn], scores[drawn], values[drawn])
        for drawn in _resampled(examples, resamples, seed)
        if 0 < targets[drawn].sum() < len(drawn)
    ]
    return {
        "column": column,
        "auc": float(roc_auc_score(targets, values)),
        "gain": _auc_gain(targets, scores, values),
        "gain_interval": [float(bound) for bound in np.quantile(gains, [0.025, 0.975])] if gains else None,
    }


def _auc_gain(targets: npt.NDArray[np.bool_], scores: Scores, floor: npt.NDArray[np.float64]) -> float:
    return float(roc_auc_score(targets, scores) - roc_auc_score(targets, floor))


def _resampled(examples: Examples, resamples: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Rows of as many groups as there are, drawn with replacement; none where there is one group alone."""
    numbers = np.unique(examples.groups, return_inverse=True)[1]
    rows = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    generator = np.random.default_rng(seed)
    for _ in range(min(resamples, MAX_RESAMPLES) if len(rows) > 1 else 0):
        yield np.concatenate([rows[group] for group in generator.integers(0, len(rows), len(rows))])


def _correlation(examples: Examples, scores: Scores) -> dict[str, float]:
    """Rank correlation of scores with grades or counted rates; empty where those are yes or no, or do not vary."""
    from scipy.stats import spearmanr

    if np.ptp(scores) == 0 or len(np.unique(examples.grades)) < 3:
        return {}
    return {"spearman": float(spearmanr(examples.grades, scores).statistic)}


def with_cutoffs(head: Head, spec: TaskSpec, examples: Examples, scores: Scores) -> Head:
    """The head with cutoffs fitted on these examples, where its task has any."""
    levels = np.unique(examples.grades)
    if spec.objective is None or not 2 <= len(levels) <= MAX_GRADES:
        return head
    if spec.objective == "kappa":
        cutoffs = fit_cutoffs(examples.grades, scores)
        return head.model_copy(update={"grades": tuple(map(float, levels)), "cutoffs": cutoffs})
    targets = examples.grades > (head.low + head.high) / 2
    threshold = fit_threshold(targets, scores, spec.objective)
    return head.model_copy(update={"grades": (head.low, head.high), "cutoffs": (threshold,)})


def fit_calibration(method: str, targets: npt.NDArray[np.float64], logits: Scores) -> Calibration:
    """Fit a rising map from logits to probabilities.

    Args:
        method: none, temperature (a scale and a shift of the logit), or isotonic.
        targets: (examples,) 0..1.
        logits: (examples,).

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks; Platt 1999; Zadrozny & Elkan 2002.
    """
    if method == "temperature":
        return _platt(targets, logits)
    if method == "isotonic":
        return _isotonic(targets, logits)
    return Calibration()


def _platt(targets: npt.NDArray[np.float64], logits: Scores) -> Calibration:
    from scipy.optimize import minimize

    values = logits.astype(np.float64)

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        scaled = np.exp(parameters[0]) * values + parameters[1]
        return float((np.logaddexp(0, scaled) - targets * scaled).mean())

    log_scale, shift = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return Calibration(scale=float(np.exp(log_scale)), shift=float(shift))


# Where isotonic regression is flat it would tie scores; this much of the original slope keeps their order.
SLOPE_KEPT = 1e-3


def _isotonic(targets: npt.NDArray[np.float64], logits: Scores) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, targets)
    knots = np.unique(np.concatenate([[0.0], fitted.X_thresholds_, [1.0]]))
    values = (1 - SLOPE_KEPT) * fitted.predict(knots) + SLOPE_KEPT * knots
    return Calibration(knots=tuple(knots.tolist()), values=tuple(values.tolist()))
