"""Whether an engine ranks as the trained model does: measured on held-out pairs, and refused where it does not."""

import numpy as np
import numpy.typing as npt

from planogram.config import ToleranceConfig
from planogram.data.examples import Examples
from planogram.errors import ParityError
from planogram.evaluate.lists import lists_of, tau
from planogram.evaluate.metrics import bootstrap, per_query
from planogram.registry.bundle import Parity

K = 10
NDCG = f"ndcg@{K}"
RESAMPLES = 1000
Scores = npt.NDArray[np.float32]


def measure(reference: Scores, scores: Scores, examples: Examples) -> Parity:
    """Compare an engine's scores of a head with the trained model's.

    Args:
        reference: (examples,) by the trained model in float32.
        scores: (examples,) by the engine.
        examples: with grades and the lists that are ranked.

    Returns:
        Differences of scores (maximum, mean); Kendall's tau-b and the overlap of the best ten, both means over lists;
        the change of NDCG@10, with its 95 % bootstrap interval over lists.

    Raises:
        ParityError: a score is no finite number.
    """
    if not np.isfinite(scores).all():
        raise ParityError("an engine gives scores that are not finite", remedy="export it in another precision")
    differences = np.abs(reference.astype(np.float64) - scores)
    # All examples are one list where nothing is ranked.
    lists = lists_of(examples.groups) or [np.arange(len(examples))]
    given = [per_query(examples.grades, values, examples.groups, K)[NDCG] for values in (reference, scores)]
    change = bootstrap(given[1] - given[0], RESAMPLES, seed=0) if len(given[0]) else None
    return Parity(
        pairs=len(examples),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        kendall_tau=float(np.mean([tau(reference[rows], scores[rows]) for rows in lists])),
        top_overlap=float(np.mean([_overlap(reference[rows], scores[rows]) for rows in lists])),
        ndcg=float(given[1].mean()) if change else None,
        ndcg_change=change.mean if change else None,
        ndcg_interval=(change.low, change.high) if change else None,
    )


def faults(parity: Parity, tolerance: ToleranceConfig) -> tuple[str, ...]:
    """What of a parity is beyond its tolerance, in words; empty: nothing."""
    found = []
    if parity.max_difference > tolerance.max_difference:
        found.append(f"a score is off by {parity.max_difference:.4f}, allowed {tolerance.max_difference}")
    if parity.mean_difference > tolerance.mean_difference:
        found.append(f"scores are off by {parity.mean_difference:.4f} on average, allowed {tolerance.mean_difference}")
    if parity.kendall_tau < tolerance.kendall_tau:
        found.append(f"Kendall's tau is {parity.kendall_tau:.4f}, allowed {tolerance.kendall_tau} or more")
    if parity.ndcg_change is not None and parity.ndcg_change < -tolerance.ndcg_loss:
        found.append(f"NDCG@{K} falls by {-parity.ndcg_change:.4f}, allowed {tolerance.ndcg_loss}")
    return tuple(found)


def _overlap(reference: Scores, scores: Scores) -> float:
    """Share of the reference's best `K` that are among the engine's."""
    best = [set(np.argsort(-values, kind="stable")[:K].tolist()) for values in (reference, scores)]
    return len(best[0] & best[1]) / len(best[0])
