"""The search space: values of configuration keys, drawn, listed, perturbed and put into a configuration."""

import copy
import itertools
import math
from collections.abc import Mapping
from random import Random
from typing import Any

from planogram.config import ChoiceConfig, IntConfig, LogUniformConfig, UniformConfig
from planogram.errors import ConfigError

Parameter = UniformConfig | LogUniformConfig | IntConfig | ChoiceConfig
Space = Mapping[str, Parameter]
# By what numbers are multiplied when a point is perturbed (Jaderberg et al. 2017).
FACTORS = (0.8, 1.2)


def draw(space: Space, random: Random) -> dict[str, Any]:
    """A random point: key -> value."""
    return {key: _drawn(parameter, random) for key, parameter in space.items()}


def grid(space: Space) -> list[dict[str, Any]]:
    """All points of the grid; the last key varies fastest."""
    columns = [_listed(parameter) for parameter in space.values()]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*columns)]


def perturb(space: Space, params: Mapping[str, Any], resample: float, random: Random) -> dict[str, Any]:
    """A point near another one.

    Args:
        space: bounds.
        params: the point.
        resample: probability that a value is drawn anew.
        random: source of chance.
    """
    return {
        key: _drawn(parameter, random) if random.random() < resample else _nudged(parameter, params[key], random)
        for key, parameter in space.items()
    }


def corners(space: Space) -> list[dict[str, Any]]:
    """Points that together hold the extremes of every key, for checking them before anything runs."""
    columns = {key: _extremes(parameter) for key, parameter in space.items()}
    most = max(len(values) for values in columns.values())
    return [{key: values[place % len(values)] for key, values in columns.items()} for place in range(most)]


def with_params(base: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The base's values with those of a point on top.

    Raises:
        ConfigError: a key goes through something that is no section.
    """
    values = copy.deepcopy(dict(base))
    for key, value in params.items():
        *path, last = key.split(".")
        node = values
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"space.{key}: {part!r} is not a section", remedy="name a key that holds a value")
        node[last] = value
    return values


def _drawn(parameter: Parameter, random: Random) -> Any:
    match parameter:
        case UniformConfig(low=low, high=high):
            return random.uniform(low, high)
        case LogUniformConfig(low=low, high=high):
            return _within(parameter, math.exp(random.uniform(math.log(low), math.log(high))))
        case IntConfig(low=low, high=high, step=step):
            return random.randrange(low, high + 1, step)
        case ChoiceConfig(values=values):
            return random.choice(values)


def _listed(parameter: Parameter) -> list[Any]:
    match parameter:
        case UniformConfig(low=low, high=high, points=points):
            return [low + (high - low) * place / (points - 1) for place in range(points)]
        case LogUniformConfig(low=low, high=high, points=points):
            ratio = high / low
            return [_within(parameter, low * ratio ** (place / (points - 1))) for place in range(points)]
        case IntConfig(low=low, high=high, step=step):
            return list(range(low, high + 1, step))
        case ChoiceConfig(values=values):
            return list(values)


def _extremes(parameter: Parameter) -> list[Any]:
    listed = _listed(parameter)
    return listed if isinstance(parameter, ChoiceConfig) else [listed[0], listed[-1]]


def _nudged(parameter: Parameter, value: Any, random: Random) -> Any:
    factor = random.choice(FACTORS)
    match parameter:
        case UniformConfig() | LogUniformConfig():
            return _within(parameter, value * factor)
        case IntConfig(low=low, high=high, step=step):
            moved = value + (step if factor > 1 else -step)
            return min(max(moved, low), range(low, high + 1, step)[-1])
        case ChoiceConfig():
            return value


def _within(parameter: UniformConfig | LogUniformConfig, value: float) -> float:
    """Rounding may carry a value past a bound."""
    return min(max(value, parameter.low), parameter.high)
