"""Which trials stop early: asynchronous successive halving, as a function of what the ledger holds.

Li et al. 2020 ("A System for Massively Parallel Hyperparameter Tuning"), in the variant that stops: a trial that
reaches a rung goes on if it is among the best 1 / reduction of those that have reached it so far. Hyperband (Li et al.
2018) lets trials take turns between brackets, which differ in where the first rung lies.
"""

import math
from collections.abc import Sequence

from planogram.config import SchedulerConfig
from planogram.config.tune import Mode
from planogram.tune.objective import loss
from planogram.tune.trial import Trial


def goes_on(trial: Trial, others: Sequence[Trial], scheduler: SchedulerConfig, metric: str, mode: Mode) -> bool:
    """Whether a trial that has just validated trains on.

    Args:
        trial: with this validation in its history.
        others: all trials of the campaign, with or without this one.
        scheduler: rungs; only `asha` and `hyperband` stop anything.
        metric: that is compared; a validation without it stops nothing.
        mode: whether more or less of it is better.
    """
    if scheduler.kind not in ("asha", "hyperband"):
        return True
    reached = len(trial.curve(metric))
    if reached not in rungs(scheduler, trial.number, reached):
        return True
    own = _best_until(trial, reached, metric, mode)
    peers = [
        _best_until(other, reached, metric, mode)
        for other in others
        if other.number != trial.number
        and bracket(scheduler, other.number) == bracket(scheduler, trial.number)
        and len(other.curve(metric)) >= reached
    ]
    stay = math.ceil((len(peers) + 1) / scheduler.reduction)
    return sum(peer < own for peer in peers) < stay


def rungs(scheduler: SchedulerConfig, number: int, until: int) -> list[int]:
    """The counts of validations, up to `until`, at which a trial is compared with others."""
    first = scheduler.grace * scheduler.reduction ** bracket(scheduler, number)
    found = []
    while first <= until:
        found.append(first)
        first *= scheduler.reduction
    return found


def bracket(scheduler: SchedulerConfig, number: int) -> int:
    """The bracket of a trial; `asha` has one."""
    return number % scheduler.brackets if scheduler.kind == "hyperband" else 0


def _best_until(trial: Trial, count: int, metric: str, mode: Mode) -> float:
    """The best of the first validations, as a loss: what a run keeps is its best weights, not its last ones."""
    return min(loss(value, mode) for _, value in trial.curve(metric)[:count])
