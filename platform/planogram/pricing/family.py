"""Products that are priced together, and the ladder of a family: a bigger pack never costs less than a smaller one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from planogram.pricing.item import PriceItem
from planogram.pricing.money import Floats
from planogram.pricing.policy import PricePolicy
from planogram.pricing.table import Table

Substitutes = Mapping[str, Mapping[str, float]]
Places = npt.NDArray[np.intp]

# Its table of ranges has the square of this many numbers.
MOST_LADDER_PRICES = 2048


@dataclass(frozen=True)
class Ladder:
    """The members of a family whose price and pack size are known.

    Attributes:
        packs: rows of the members by pack size, smallest first; packs of one size do not bind each other.
    """

    packs: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> list[int]:
        """All members, smallest first."""
        return [row for pack in self.packs for row in pack]


def groups(items: Sequence[PriceItem], policy: PricePolicy, substitutes: Substitutes | None) -> list[list[int]]:
    """Places of the items that must be decided together: by ladders and cross elasticities, else each alone."""
    root = list(range(len(items)))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = place = root[root[place]]
        return place

    for one, other in _pairs(items, policy, substitutes):
        low, high = sorted((find(one), find(other)))
        root[high] = low
    found: dict[int, list[int]] = {}
    for place in range(len(items)):
        found.setdefault(find(place), []).append(place)
    return list(found.values())


def _pairs(
    items: Sequence[PriceItem], policy: PricePolicy, substitutes: Substitutes | None
) -> Iterable[tuple[int, int]]:
    first: dict[str, int] = {}
    if policy.ladder:
        for place, item in enumerate(items):
            if item.family is not None and item.pack_size is not None:
                yield first.setdefault(item.family, place), place
    if substitutes:
        places = {item.product_id: place for place, item in enumerate(items)}
        for one, others in substitutes.items():
            yield from ((places[one], places[other]) for other in others if one in places and other in places)


def ladders(items: Sequence[PriceItem], policy: PricePolicy, usable: Sequence[bool]) -> list[Ladder]:
    """The ladders of a policy; a product without a usable price or pack size binds nobody."""
    if not policy.ladder:
        return []
    members: dict[str, list[tuple[float, int]]] = {}
    for row, item in enumerate(items):
        if item.family is not None and item.pack_size is not None and usable[row]:
            members.setdefault(item.family, []).append((item.pack_size, row))
    found = []
    for family in members.values():
        packs = groupby(sorted(family), key=lambda member: member[0])
        found.append(Ladder(tuple(tuple(row for _, row in pack) for _, pack in packs)))
    return [ladder for ladder in found if len(ladder.packs) > 1]


def impossible(table: Table, ladder: Ladder) -> str | None:
    """Why a family cannot be priced as a ladder."""
    rows = ladder.rows
    count = len(np.unique(table.prices[rows][table.allowed[rows]]))
    if count > MOST_LADDER_PRICES:
        return f"ladder: the family has {count} prices to compare, at most {MOST_LADDER_PRICES}; lower grid_size"
    return None if _can_rise(table, ladder) else "ladder: no allowed prices rise with the pack size"


def _can_rise(table: Table, ladder: Ladder) -> bool:
    """Whether every pack has an allowed price that is not below the lowest possible ones of the smaller packs."""
    low = 0.0
    for pack in ladder.packs:
        rows = list(pack)
        fits = table.allowed[rows] & (table.prices[rows] >= low)
        low = float(np.where(fits, table.prices[rows], np.inf).min(axis=1).max())
    return low < np.inf


def climb(prices: Floats, values: Floats, ladder: Ladder) -> dict[int, int]:
    """The prices of a family that do not fall with the pack size and whose values have the largest sum.

    Exact, by dynamic programming over the pack sizes: the best sum of the smaller packs at prices up to p, plus the
    best of this size at prices from p to q, gives the best sum at prices up to q (Bellman 1957).

    Args:
        prices: (items, prices) in the currency.
        values: (items, prices), -inf where a price is not allowed. Some prices must rise.
        ladder: the family.

    Returns:
        Row -> column.
    """
    points = np.unique(prices[ladder.rows][np.isfinite(values[ladder.rows])])
    best, steps = np.zeros(len(points)), []
    for pack in ladder.packs:
        best, lows = _step(best, [_spread(points, prices[row], values[row]) for row in pack])
        steps.append(lows)
    return _back(ladder, prices, values, points, steps)


def _step(best: Floats, pack: Sequence[Floats]) -> tuple[Floats, Places]:
    """Best sums up to every point with one pack size more, and the point at which that size begins."""
    if len(pack) > 1:
        sums = best[:, None] + sum(map(_best_between, pack))
        return sums.max(axis=0), sums.argmax(axis=0)
    # A single product begins at its own price, since the sum of the smaller ones does not fall with the point.
    sums = best + pack[0]
    highest: Floats = np.maximum.accumulate(sums)
    return highest, np.maximum.accumulate(np.where(sums == highest, np.arange(len(sums)), 0))


def _spread(points: Floats, prices: Floats, values: Floats) -> Floats:
    """(points,) of one product's values; -inf at the points that are none of its prices."""
    fits = np.isfinite(values)
    found = np.full(len(points), -np.inf)
    found[np.searchsorted(points, prices[fits])] = values[fits]
    return found


def _best_between(values: Floats) -> Floats:
    """(points,) -> (from, to) largest value between two points, both included; -inf below the diagonal."""
    upper = np.triu(np.ones((len(values), len(values)), dtype=bool))
    return np.maximum.accumulate(np.where(upper, values, -np.inf), axis=1)


def rises(prices: Floats, columns: Places, ladder: Ladder) -> bool:
    """Whether prices (items, prices) at these columns (items,) keep to a ladder."""
    packs = [prices[list(pack), columns[list(pack)]] for pack in ladder.packs]
    return all(small.max() <= big.min() for small, big in pairwise(packs))


def _back(ladder: Ladder, prices: Floats, values: Floats, points: Floats, steps: Sequence[Places]) -> dict[int, int]:
    """The columns behind the best sum, from the biggest pack down."""
    columns, high = {}, len(points) - 1
    for pack, lows in zip(reversed(ladder.packs), reversed(steps), strict=True):
        low = int(lows[high])
        for row in pack:
            inside = (prices[row] >= points[low]) & (prices[row] <= points[high])
            columns[row] = int(np.where(inside, values[row], -np.inf).argmax())
        high = low
    return columns
