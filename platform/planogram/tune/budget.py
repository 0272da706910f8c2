"""What a campaign has taken over all its starts, and whether that is enough."""

from collections.abc import Sequence
from dataclasses import dataclass

from planogram.config import BudgetConfig
from planogram.tune.trial import Trial


@dataclass(frozen=True)
class Spent:
    """What a campaign has taken.

    Attributes:
        hours: of the clock, of all starts together.
        trial_hours: of all trials together; two at once count twice.
        cost: trial hours times the price of one.
    """

    hours: float
    trial_hours: float
    cost: float


def spent(budget: BudgetConfig, elapsed_s: float, trials: Sequence[Trial]) -> Spent:
    """Add up.

    Args:
        budget: the price of an hour.
        elapsed_s: seconds of all starts.
        trials: of the ledger.
    """
    trial_hours = sum(trial.seconds for trial in trials) / 3600
    return Spent(elapsed_s / 3600, trial_hours, trial_hours * budget.price_per_hour)


def exhausted(budget: BudgetConfig, so_far: Spent) -> str:
    """Which limit is reached, in words; empty where none is."""
    if budget.hours is not None and so_far.hours >= budget.hours:
        return f"budget.hours={budget.hours:g} is spent"
    if budget.cost is not None and so_far.cost >= budget.cost:
        return f"budget.cost={budget.cost:g} is spent"
    return ""
