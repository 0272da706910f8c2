"""What every allowed price of many products brings, computed for all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planogram.pricing.bounds import Bounds, NoChange
from planogram.pricing.curve import DemandCurve, Flags, units_of
from planogram.pricing.grid import between, pattern
from planogram.pricing.item import PriceItem, problem, usable_price
from planogram.pricing.money import Floats, Ints, Ruler
from planogram.pricing.policy import PricePolicy

# Objectives that differ by less than this share of the best are equal, and the nearest price to the current wins.
TIE = 1e-9
# Below a tenth of the smallest step no rule lets a price move.
LEAST_PRICE = 1e-5


@dataclass(frozen=True, eq=False)
class Table:
    """Products and their prices; the last column is the current price.

    Where nothing may change the current price alone is allowed. A row of it is the same, bit for bit, whatever other
    rows there are: so a decision of a batch is found again when it is replayed alone.

    Attributes:
        prices: (items, prices) in the currency.
        allowed: (items, prices) which may be chosen.
        units: (draws, items, prices) of demand per period; one draw where uncertainty is not known.
        worth: (items, prices) what the objective gains by a unit sold.
        caps: (items,) most units per period that count, infinite without stock toward a date.
        usable: (items,) whether the current price is one.
        off_ending: (items,) whether no price with one of the policy's endings was allowed.
    """

    prices: Floats
    allowed: Flags
    units: Floats
    worth: Floats
    caps: Floats
    usable: Flags
    off_ending: Flags

    def values(self, draws: slice = slice(None)) -> Floats:
        """(items, prices) of the mean objective over draws, to be maximised; -inf where a price is not allowed."""
        return self.preferring_to_stay(mean(self.worth * np.minimum(self.units[draws], self.caps[:, None])))

    def preferring_to_stay(self, means: Floats) -> Floats:
        """The objective less a billionth of its best per relative change, so that equal ones do not change a price."""
        current = self.prices[:, -1:]
        best = np.abs(np.where(self.allowed, means, -np.inf).max(axis=1, keepdims=True))
        away = np.abs(self.prices - current) / np.maximum(current, LEAST_PRICE)
        return np.where(self.allowed, means - TIE * np.where(best > 0, best, 1.0) * away, -np.inf)

    def kept(self, rows: Sequence[int]) -> "Table":
        """The same table where these rows must keep their current price."""
        allowed = self.allowed.copy()
        allowed[rows] = False
        allowed[rows, -1] = True
        return replace(self, allowed=allowed)


def mean(draws: Floats) -> Floats:
    """(draws, ...) -> (...), summed in the order of the draws whatever the shape, so that it can be repeated."""
    total: Floats = np.add.reduce(draws, axis=0)
    return total / len(draws)


def build(
    curves: Sequence[DemandCurve],
    items: Sequence[PriceItem],
    policy: PricePolicy,
    limits: Sequence[Bounds | NoChange],
) -> Table:
    """The table of products whose curves have equally many draws."""
    ruler = Ruler.of(policy.currency_step)
    steps, allowed, off_ending = _grid(policy, limits)
    usable = np.asarray([usable_price(item) is not None for item in items])
    current = np.asarray([usable_price(item) or 1.0 for item in items])
    stays = [_may_stay(*row, policy) for row in zip(items, limits, off_ending.tolist(), strict=True)]
    prices = np.column_stack([ruler.prices(steps), current])
    # Where the current price is on the grid, it is compared there.
    twice = (allowed & (prices[:, :-1] == current[:, None])).any(axis=1)
    return Table(
        prices=prices,
        allowed=np.column_stack([allowed, np.asarray(stays) & ~twice]),
        units=_units(curves, prices),
        worth=_worth(items, policy, prices),
        caps=np.asarray([_cap(item, policy) for item in items]),
        usable=usable,
        off_ending=off_ending,
    )


def _grid(policy: PricePolicy, limits: Sequence[Bounds | NoChange]) -> tuple[Ints, Flags, Flags]:
    ranges = [(b.low_steps, b.high_steps) if isinstance(b, Bounds) else (1, 1) for b in limits]
    lows, highs = np.asarray(ranges, dtype=np.int64).T
    may_change = np.asarray([isinstance(b, Bounds) for b in limits])
    steps, counts = between(lows, highs, pattern(policy.endings, policy.currency_step), policy.grid_size)
    if (off_ending := may_change & (counts == 0)).any():
        anything = pattern((), policy.currency_step)
        steps[off_ending], counts[off_ending] = between(lows[off_ending], highs[off_ending], anything, policy.grid_size)
    allowed = may_change[:, None] & (np.arange(policy.grid_size) < counts[:, None])
    return steps, allowed, off_ending


def _may_stay(item: PriceItem, limit: Bounds | NoChange, off_ending: bool, policy: PricePolicy) -> bool:
    """Whether the current price may be chosen."""
    if isinstance(limit, NoChange) or item.current_price is None:
        return True
    steps = Ruler.of(policy.currency_step).steps(item.current_price)
    if steps is None or not limit.low_steps <= steps <= limit.high_steps:
        return False
    return off_ending or pattern(policy.endings, policy.currency_step).fits(steps)


def _units(curves: Sequence[DemandCurve], prices: Floats) -> Floats:
    draws = np.stack([c.draws if len(c.draws) else np.asarray([[c.level, c.elasticity]]) for c in curves], axis=1)
    references = np.log(np.asarray([[curve.reference] for curve in curves]))
    return units_of(
        draws[:, :, :1],
        draws[:, :, 1:],
        np.log(prices) - references,
        np.asarray([[curve.kind == "purchase"] for curve in curves]),
        np.asarray([[curve.exposure] for curve in curves]),
    )


def _worth(items: Sequence[PriceItem], policy: PricePolicy, prices: Floats) -> Floats:
    """What is not known counts nothing: a price that is none, or a profit without a cost."""
    profit = policy.objective == "profit"
    known = np.asarray([[problem(item) is None and not (profit and item.cost is None)] for item in items])
    if policy.objective == "units":
        return np.where(known, np.ones_like(prices), 0.0)
    costs = np.asarray([[(item.cost if profit else 0.0) or 0.0] for item in items])
    return np.where(known, prices - np.where(known, costs, 0.0), 0.0)


def _cap(item: PriceItem, policy: PricePolicy) -> float:
    if not policy.pace or item.stock is None or item.periods_left is None or problem(item):
        return np.inf
    return item.stock / item.periods_left
