"""Whether a score is the probability, or the scaled grade, that it says."""

from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.evaluate.metrics import CALIBRATION_BINS, calibration_error
from planogram.registry.bundle import Head

Floats = npt.NDArray[np.floating]


def scaled(grades: Floats, head: Head) -> npt.NDArray[np.float64]:
    """(examples,) grades on the scale of scores, 0..1: what a head with a sigmoid learns to say."""
    return np.clip((np.asarray(grades, dtype=np.float64) - head.low) / (head.high - head.low), 0.0, 1.0)


def reliability(head: Head, grades: Floats, scores: Floats) -> dict[str, Any] | None:
    """Mean score beside mean scaled grade, in bins of equal count by score.

    Args:
        head: whose grades `low` and `high` are 0 and 1.
        grades: (examples,).
        scores: (examples,) 0..1.

    Returns:
        `error` (expected calibration error: the mean gap, weighted by count) and `bins` with `score`, `grade` and
        `count`; None where the head's score is no probability.

    Source: Niculescu-Mizil & Caruana 2005, Predicting Good Probabilities with Supervised Learning, for the diagram;
    Naeini et al. 2015 for the error; Nguyen & O'Connor 2015 for bins of equal count.
    """
    if head.activation != "sigmoid" or not len(scores):
        return None
    targets = scaled(grades, head)
    parts = [rows for rows in np.array_split(np.argsort(scores, kind="stable"), CALIBRATION_BINS) if len(rows)]
    bins = [
        {"score": float(scores[rows].mean()), "grade": float(targets[rows].mean()), "count": len(rows)}
        for rows in parts
    ]
    return {"error": calibration_error(targets, scores), "bins": bins}
