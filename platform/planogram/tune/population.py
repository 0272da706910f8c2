"""Population based training (Jaderberg et al. 2017), in generations that wait for each other.

A generation is as many trials as the population has members. Each begins with the weights of its predecessor; the
worst ones begin with those of a good one instead, and with its values perturbed.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from planogram.config import TuneConfig
from planogram.tune.objective import ranked
from planogram.tune.space import draw, perturb
from planogram.tune.trial import Trial


def member(config: TuneConfig, trials: Sequence[Trial], number: int) -> tuple[dict[str, Any], int | None] | None:
    """The values of a trial and the trial whose weights it begins with.

    Args:
        config: space and population.
        trials: all trials before it.
        number: of the trial.

    Returns:
        None while the generation before has not settled; without a parent in the first generation, and where nobody of
        the generation before has finished.
    """
    scheduler, random = config.scheduler, Random(f"{config.seed}-{number}")  # noqa: S311 - no secret
    generation = number // scheduler.population
    if generation == 0:
        return draw(config.space, random), None
    before = [trial for trial in trials if trial.number // scheduler.population == generation - 1]
    if not all(trial.is_settled for trial in before):
        return None
    order = ranked(before, config.metrics)
    if not order:
        return draw(config.space, random), None
    replaced = math.ceil(scheduler.exploit * scheduler.population)
    places = {trial.number: place for place, trial in enumerate(order)}
    predecessor = places.get(number - scheduler.population, scheduler.population)
    if predecessor < max(1, scheduler.population - replaced):
        parent = order[predecessor]
        return dict(parent.params), parent.number
    parent = random.choice(order[:replaced])
    return perturb(config.space, parent.params, scheduler.resample, random), parent.number
