"""Products that take sales from each other: the price of one moves the demand of another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planogram.errors import DataError
from planogram.pricing.curve import Flags
from planogram.pricing.family import Ladder, Places, Substitutes
from planogram.pricing.item import PriceItem
from planogram.pricing.money import Floats
from planogram.pricing.table import TIE, Table, mean

# Every round improves the sum, so that more are hardly ever needed.
MOST_ROUNDS = 50


@dataclass(frozen=True, eq=False)
class Cross:
    """Cross elasticities of a group.

    Attributes:
        rows: of its members in the table.
        elasticities: (members, members) d log units of the first / d log price of the second; 0 on the diagonal.
    """

    rows: tuple[int, ...]
    elasticities: Floats


def cross_of(items: Sequence[PriceItem], rows: Sequence[int], substitutes: Substitutes) -> Cross | None:
    """The cross elasticities among some items; None where there are none.

    Raises:
        DataError: one is not finite, or is of a product and itself.
    """
    places = {items[row].product_id: place for place, row in enumerate(rows)}
    table = np.zeros((len(rows), len(rows)))
    for product, others in ((p, substitutes[p]) for p in places if p in substitutes):
        for other, elasticity in others.items():
            if other == product or not np.isfinite(elasticity):
                raise DataError(
                    f"cross elasticity {elasticity} of {product} and {other}",
                    allowed="finite numbers between different products",
                    remedy="leave it out",
                )
            if other in places:
                table[places[product], places[other]] = elasticity
    return Cross(tuple(rows), table) if table.any() else None


def factors(table: Table, cross: Cross, columns: Places) -> Floats:
    """(members,) by which demand changes when all members move from their current prices to these columns."""
    rows = list(cross.rows)
    log_ratios = np.log(table.prices[rows, columns[rows]]) - np.log(table.prices[rows, -1])
    return _bounded((cross.elasticities * log_ratios).sum(axis=1))


def ascend(table: Table, cross: Cross, ladders: Sequence[Ladder], columns: Places, draws: slice) -> Places:
    """Prices that no change of a single one improves: a local optimum of the group's sum.

    Coordinate ascent (Bertsekas 1999, Nonlinear Programming, 2.7) from the prices that are best without cross effects,
    at most `MOST_ROUNDS` rounds. A price that moves keeps to the ladder of its family.

    Args:
        table: of the products.
        cross: the group.
        ladders: of its families.
        columns: (items,) to begin with; it keeps to the ladders.
        draws: over which the objective is meant.

    Returns:
        (items,) columns.
    """
    columns = columns.copy()
    for _ in range(MOST_ROUNDS):
        before = columns.copy()
        for place, row in enumerate(cross.rows):
            sums = _sums(table, cross, columns, place, draws)
            allowed = table.allowed[row] & on_ladder(table, ladders, columns, row)
            here = columns[row]
            best = int(np.where(allowed, sums, -np.inf).argmax())
            # What is not better by more than a tie is left: so the rounds come to an end.
            if sums[best] > sums[here] + TIE * abs(sums[here]):
                columns[row] = best
        if (columns == before).all():
            break
    return columns


def _sums(table: Table, cross: Cross, columns: Places, place: int, draws: slice) -> Floats:
    """(prices,) mean objective of the whole group, were one member at each of its prices and all others as they are."""
    rows, row = list(cross.rows), cross.rows[place]
    others = np.delete(np.arange(len(rows)), place)
    members = np.asarray(rows)[others]
    current = np.log(table.prices[rows, -1])
    at = np.log(table.prices[rows, columns[rows]]) - current
    at[place] = 0.0
    moved = np.log(table.prices[row]) - current[place]
    own = _bounded(cross.elasticities[place] @ at) * table.units[draws, row]
    total = mean(table.worth[row] * np.minimum(own, table.caps[row]))
    logs = (cross.elasticities[others] @ at)[:, None] + cross.elasticities[others, place][:, None] * moved
    # (draws, others, prices)
    units = table.units[draws, members, columns[members]][:, :, None] * _bounded(logs)
    sold = np.minimum(units, table.caps[members][:, None])
    gained = table.worth[members, columns[members]][:, None] * sold
    return total + mean(gained).sum(axis=0)


def on_ladder(table: Table, ladders: Sequence[Ladder], columns: Places, row: int) -> Flags:
    """(prices,) whether the row's price may be this, beside what its family costs now."""
    prices = table.prices[row]
    fits = np.ones(len(prices), dtype=bool)
    for ladder in ladders:
        places = [place for place, pack in enumerate(ladder.packs) if row in pack]
        for place, pack in enumerate(ladder.packs if places else ()):
            members = list(pack)
            costs = table.prices[members, columns[members]]
            if place < places[0]:
                fits &= prices >= costs.max()
            elif place > places[0]:
                fits &= prices <= costs.min()
    return fits


def _bounded(logs: Floats) -> Floats:
    """e^logs, within what can be multiplied."""
    return np.exp(np.clip(logs, -100.0, 100.0))
