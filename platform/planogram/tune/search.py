"""Which point is tried next: a function of the ledger, so that a continued campaign searches on as if uninterrupted."""

from collections.abc import Sequence
from random import Random
from typing import Any

from planogram.config import TuneConfig
from planogram.errors import ConfigError
from planogram.tune import population, tpe
from planogram.tune.space import draw, grid
from planogram.tune.trial import Trial

MOST_POINTS = 10_000


def suggest(config: TuneConfig, trials: Sequence[Trial]) -> Trial | None:
    """The next trial; None while it must wait for others.

    Args:
        config: space, search and scheduler.
        trials: of the ledger, all of them.
    """
    number = len(trials)
    if config.scheduler.kind == "pbt":
        found = population.member(config, trials, number)
        return None if found is None else Trial(number, found[0], parent=found[1])
    return Trial(number, _point(config, trials, number))


def size(config: TuneConfig) -> int:
    """How many trials the campaign has at most: a grid may have fewer points than `trials` says.

    Raises:
        ConfigError: the grid is larger than anybody means.
    """
    wanted = min(config.trials, config.budget.trials or config.trials)
    if config.search != "grid":
        return wanted
    points = len(grid(config.space))
    if points > MOST_POINTS:
        raise ConfigError(
            f"the grid has {points} points", allowed=f"{MOST_POINTS}", remedy="set fewer `points`, or another search"
        )
    return min(wanted, points)


def _point(config: TuneConfig, trials: Sequence[Trial], number: int) -> dict[str, Any]:
    if config.search == "grid":
        return grid(config.space)[number]
    random = Random(f"{config.seed}-{number}")  # noqa: S311 - no secret
    if config.search == "random" or number < config.startup:
        return draw(config.space, random)
    return tpe.suggest(config, trials, random.randrange(2**31))
