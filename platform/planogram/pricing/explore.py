"""Prices that differ from the best on purpose, so that demand can be learned, with the probability of each.

Thompson sampling: the best price under one draw of the demand (Thompson 1933; Russo et al. 2018, A Tutorial on
Thompson Sampling). Epsilon-greedy: with a small probability any price near the best (Sutton & Barto 2018, 2.2).
"""

from dataclasses import dataclass

import numpy as np

from planogram.pricing.family import Places
from planogram.pricing.joint import Group, Problem
from planogram.pricing.money import Floats
from planogram.pricing.policy import PricePolicy
from planogram.pricing.substitutes import on_ladder


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen prices.

    Attributes:
        best: (items,) columns with the largest expected objective.
        columns: (items,) what was chosen.
        propensities: (items,) probability of what was chosen.
    """

    best: Places
    columns: Places
    propensities: Floats


def choose(problem: Problem, policy: PricePolicy, uniforms: Floats | None) -> Choice:
    """Choose the prices of all groups.

    Args:
        problem: the products.
        policy: says how to explore.
        uniforms: (groups, 2) random numbers from 0 to below 1; None without exploration.
    """
    best = problem.best()
    if uniforms is None:
        return Choice(best, best, np.ones(len(best)))
    if policy.exploration == "thompson":
        return _thompson(problem, best, uniforms)
    return _epsilon(problem, best, policy, uniforms)


def _thompson(problem: Problem, best: Places, uniforms: Floats) -> Choice:
    """A group takes one draw; a propensity is the share of draws under which this price is best."""
    count = len(problem.table.units)
    # (draws, items)
    under = np.stack([problem.best(slice(draw, draw + 1)) for draw in range(count)]) if count > 1 else best[None]
    drawn = np.zeros(len(best), dtype=np.intp)
    for group, uniform in zip(problem.groups, uniforms[:, 0], strict=True):
        drawn[list(group.rows)] = int(uniform * count)
    columns = under[drawn, np.arange(len(best))]
    return Choice(best, columns, (under == columns).mean(axis=0))


def _epsilon(problem: Problem, best: Places, policy: PricePolicy, uniforms: Floats) -> Choice:
    columns, propensities = best.copy(), np.ones(len(best))
    for group, (first, second) in zip(problem.groups, uniforms.tolist(), strict=True):
        # One member at a time, so that it can be seen beside the others' prices which of its own a ladder allows.
        epsilon = policy.epsilon / len(group.rows)
        explorer = int(first / epsilon) if first < policy.epsilon else None
        for place, row in enumerate(group.rows):
            near = np.flatnonzero(_near(problem, group, best, row, policy))
            if place == explorer:
                columns[row] = near[int(second * len(near))]
            propensities[row] = epsilon / len(near) + (1 - epsilon) * (columns[row] == best[row])
    return Choice(best, columns, propensities)


def _near(problem: Problem, group: Group, best: Places, row: int, policy: PricePolicy) -> Floats:
    """(prices,) whether an explorer may take each: allowed, near the best, in the family's order. The best is one."""
    prices = problem.table.prices[row]
    close = np.abs(prices - prices[best[row]]) <= policy.epsilon_width * prices[best[row]]
    return problem.table.allowed[row] & close & on_ladder(problem.table, group.ladders, best, row)
