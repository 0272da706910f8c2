"""How well demand is foretold: likelihood, error of units, and whether elasticities are believable."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit, xlogy

from planogram.elasticity.rows import DemandRows
from planogram.models.demand import MAX_LOG_UNITS, response, split_heads

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Kind = Literal["units", "purchase", "choice"]


def demand_metrics(kind: Kind, rows: DemandRows, chosen: Integers, logits: npt.NDArray[np.float32]) -> dict[str, float]:
    """Metrics of the mean of the members.

    Args:
        kind: of the outcome.
        rows: of the shop.
        chosen: (n,) positions of the rows that are foretold.
        logits: (n, 2 * members) level and log elasticity in turn.

    Returns:
        `log_loss` (`choice`: nats per choice; `purchase`: nats per impression; `units`: half the mean Poisson
        deviance per row), `wape` of units and purchases (sum of absolute errors over the sum of units), `accuracy`
        of choices, `elasticity` (median over rows) and `elasticity_spread` (mean standard deviation of the log
        among members).
    """
    responses = responses_of(rows, chosen, logits)
    log_elasticities = np.log(elasticities_of(logits))
    common = {
        "elasticity": float(np.exp(np.median(log_elasticities.mean(axis=1)))),
        "elasticity_spread": float(log_elasticities.std(axis=1).mean()),
    }
    outcome, exposure = rows.outcome[chosen], rows.exposure[chosen]
    if kind == "choice":
        return _choices(responses, outcome, rows.sets[chosen]) | common
    expected = expected_units(kind, responses, exposure)
    found = {"wape": float(np.abs(outcome - expected).sum() / max(outcome.sum(), 1e-9))}
    if kind == "units":
        return {"log_loss": half_deviance(outcome, expected)} | found | common
    rate = np.clip(expected / exposure, 1e-9, 1 - 1e-9)
    losses = -xlogy(outcome, rate) - (exposure - outcome) * np.log1p(-rate)
    return {"log_loss": float(losses.sum() / exposure.sum())} | found | common


def responses_of(rows: DemandRows, chosen: Integers, logits: npt.NDArray[np.float32]) -> Floats:
    """(n, members) log units, logits of a purchase, or utilities; see `models.demand.response`."""
    arrays = (logits.astype(np.float64), rows.offset[chosen], rows.log_price[chosen])
    found: Floats = response(*(torch.from_numpy(array) for array in arrays)).numpy()
    return found


def elasticities_of(logits: npt.NDArray[np.float32]) -> Floats:
    """(n, members) positive."""
    found: Floats = split_heads(torch.from_numpy(logits.astype(np.float64)))[1].exp().numpy()
    return found


def expected_units(kind: Kind, responses: Floats, exposure: Floats) -> Floats:
    """(n,) units or purchases, the mean over members."""
    rates = expit(responses) if kind == "purchase" else np.exp(np.minimum(responses, MAX_LOG_UNITS))
    return exposure * rates.mean(axis=1)


def half_deviance(outcome: Floats, expected: Floats) -> float:
    """Mean of y log(y / m) - y + m: the Poisson log loss above that of a perfect forecast, in nats per row."""
    safe = np.maximum(expected, 1e-9)
    ratio = np.where(outcome > 0, outcome / safe, 1.0)
    return float((xlogy(outcome, ratio) - outcome + safe).mean())


def _choices(responses: Floats, outcome: Floats, sets: Integers) -> dict[str, float]:
    """Of the members' mean probability."""
    numbers, members = np.unique(sets, return_inverse=True)
    order = np.argsort(members, kind="stable")
    starts = np.flatnonzero(np.diff(members[order], prepend=-1))
    probabilities = np.zeros(len(responses))
    for column in responses.T:
        highest = np.maximum.reduceat(column[order], starts)
        shifted = column - highest[members]
        totals = np.add.reduceat(np.exp(shifted[order]), starts)
        probabilities += np.exp(shifted) / totals[members]
    probabilities /= responses.shape[1]
    bought = outcome > 0
    best = np.maximum.reduceat(probabilities[order], starts)
    return {
        "log_loss": float(-np.log(np.maximum(probabilities[bought], 1e-12)).sum() / len(numbers)),
        "accuracy": float((probabilities[bought] >= best[members[bought]]).mean()),
    }
