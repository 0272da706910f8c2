"""Decisions out of chosen prices: what is expected of each, and which rule set it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planogram.pricing.bounds import Bounds, NoChange
from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import NO_CHANGE, Decision
from planogram.pricing.explore import Choice
from planogram.pricing.family import Places, Substitutes
from planogram.pricing.item import PriceItem, problem, usable_price
from planogram.pricing.joint import Problem
from planogram.pricing.money import Floats, Ruler
from planogram.pricing.policy import PricePolicy
from planogram.pricing.table import Table, mean

INTERVAL = (0.1, 0.9)


@dataclass(frozen=True)
class Batch:
    """What is decided at once: curves and items in the same order."""

    curves: Sequence[DemandCurve]
    items: Sequence[PriceItem]
    policy: PricePolicy
    substitutes: Substitutes | None
    limits: Sequence[Bounds | NoChange]


@dataclass(frozen=True, eq=False)
class _Expected:
    """Of every product at its chosen price: units per period, and the interval of the objective's change."""

    units: list[float]
    intervals: list[tuple[float, float] | None]


def outcomes(batch: Batch, posed: Problem, choice: Choice, uniforms: Floats | None) -> list[Decision]:
    """The decisions of a batch.

    Args:
        batch: the products.
        posed: the problem that they are.
        choice: its solution.
        uniforms: (groups, 2) behind an exploration; None without one.
    """
    rows = np.arange(len(batch.items))
    prices = posed.table.prices[rows, choice.columns].tolist()
    expected = _expected(batch, posed, choice.columns)
    rules = _rules(batch, posed, choice)
    drawn = _by_row(posed, uniforms)
    propensities, explored = choice.propensities.tolist(), (choice.columns != choice.best).tolist()
    found = []
    for row, (curve, item) in enumerate(zip(batch.curves, batch.items, strict=True)):
        known = problem(item) is None
        price, units = prices[row], expected.units[row] if known else None
        found.append(
            Decision(
                product_id=item.product_id,
                price=price if usable_price(item) is not None else None,
                current_price=usable_price(item),
                expected_units=units,
                expected_profit=None if units is None or item.cost is None else (price - item.cost) * units,
                interval=expected.intervals[row] if known else None,
                elasticity=curve.elasticity,
                bounds=_bounds(batch.limits[row], batch.policy),
                rule=rules[row],
                propensity=propensities[row],
                explored=explored[row],
                uniforms=drawn[row],
            )
        )
    return found


def _expected(batch: Batch, posed: Problem, columns: Places) -> _Expected:
    table, rows = posed.table, np.arange(len(columns))
    sold = np.minimum(table.units[:, rows, columns] * posed.demand_factors(columns), table.caps)
    units = mean(sold).tolist()
    if not len(batch.curves[0].draws):
        return _Expected(units, [None] * len(rows))
    now = np.minimum(table.units[:, :, -1], table.caps)
    changes = table.worth[rows, columns] * sold - table.worth[:, -1] * now
    low, high = np.quantile(changes, INTERVAL, axis=0).tolist()
    return _Expected(units, list(zip(low, high, strict=True)))


def _rules(batch: Batch, posed: Problem, choice: Choice) -> list[str]:
    """What set every price."""
    edges = _edges(batch, posed.table, choice.columns)
    joint = _joint_rules(posed, choice.best)
    slower = _slower(posed, choice.best)
    explored = choice.columns != choice.best
    rules = []
    for row, limit in enumerate(batch.limits):
        if isinstance(limit, NoChange):
            rules.append(NO_CHANGE + limit.reason)
        elif row in posed.kept:
            rules.append(NO_CHANGE + posed.kept[row])
        else:
            rule = joint.get(row) or ("pace" if slower[row] else edges[row])
            off = " (no price with an ending of the policy)" if posed.table.off_ending[row] else ""
            rules.append(("exploration" if explored[row] else rule) + off)
    return rules


def _edges(batch: Batch, table: Table, columns: Places) -> list[str]:
    """The rule of the limit where the price is the lowest or the highest allowed one, else `optimum`."""
    chosen = table.prices[np.arange(len(columns)), columns]
    lowest = (chosen == np.where(table.allowed, table.prices, np.inf).min(axis=1)).tolist()
    highest = (chosen == np.where(table.allowed, table.prices, -np.inf).max(axis=1)).tolist()
    rules = []
    for limit, low, high in zip(batch.limits, lowest, highest, strict=True):
        names = (limit.low_rule, limit.high_rule) if isinstance(limit, Bounds) else ("", "")
        rules.append(names[0] if low else names[1] if high else "optimum")
    return rules


def _joint_rules(posed: Problem, best: Places) -> dict[int, str]:
    """Rows that alone would have another price, and what moved them."""
    if not any(group.ladders or group.cross for group in posed.groups):
        return {}
    alone = posed.table.values().argmax(axis=1)
    return {
        row: "substitutes" if group.cross else "ladder"
        for group in posed.groups
        if group.ladders or group.cross
        for row in group.rows
        if alone[row] != best[row]
    }


def _slower(posed: Problem, best: Places) -> Sequence[bool]:
    """Rows that would have another price if their stock had no end."""
    capped = np.isfinite(posed.table.caps)
    if not capped.any():
        return [False] * len(best)
    endless = replace(posed.table, caps=np.full(len(best), np.inf))
    moved: list[bool] = (capped & (endless.values().argmax(axis=1) != best)).tolist()
    return moved


def _by_row(posed: Problem, uniforms: Floats | None) -> list[tuple[float, float] | None]:
    """The random numbers of every row's group."""
    found: dict[int, tuple[float, float]] = {}
    if uniforms is not None:
        for group, (first, second) in zip(posed.groups, uniforms.tolist(), strict=True):
            found |= dict.fromkeys(group.rows, (first, second))
    return [found.get(row) for row in range(len(posed.table.prices))]


def _bounds(limit: Bounds | NoChange, policy: PricePolicy) -> tuple[float, float] | None:
    if isinstance(limit, NoChange):
        return None
    ruler = Ruler.of(policy.currency_step)
    return ruler.price(limit.low_steps), ruler.price(limit.high_steps)
