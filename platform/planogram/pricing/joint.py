"""The best prices of many products, each alone or together with its family and its substitutes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planogram.pricing.family import Ladder, Places, Substitutes, climb, impossible, ladders, rises
from planogram.pricing.item import PriceItem
from planogram.pricing.money import Floats
from planogram.pricing.policy import PricePolicy
from planogram.pricing.substitutes import Cross, ascend, cross_of, factors
from planogram.pricing.table import Table


@dataclass(frozen=True, eq=False)
class Group:
    """Products that are decided together: most often one.

    Attributes:
        rows: in the table.
        ladders: of its families.
        cross: elasticities among them; None without.
    """

    rows: tuple[int, ...]
    ladders: tuple[Ladder, ...] = ()
    cross: Cross | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be decided, and what must stay.

    Attributes:
        kept: row -> why its family keeps its prices.
    """

    table: Table
    groups: tuple[Group, ...]
    kept: dict[int, str]

    def best(self, draws: slice = slice(None)) -> Places:
        """(items,) columns of the prices with the largest mean objective over some draws."""
        values = self.table.values(draws)
        columns = values.argmax(axis=1)
        for group in self.groups:
            for ladder in group.ladders:
                # What is best for each alone is best together where it keeps to the ladder.
                if not rises(self.table.prices, columns, ladder):
                    for row, column in climb(self.table.prices, values, ladder).items():
                        columns[row] = column
            if group.cross:
                columns = ascend(self.table, group.cross, group.ladders, columns, draws)
        return columns

    def demand_factors(self, columns: Places) -> Floats:
        """(items,) by which the prices of others change the demand."""
        found = np.ones(len(columns))
        for group in self.groups:
            if group.cross:
                found[list(group.cross.rows)] = factors(self.table, group.cross, columns)
        return found


def pose(
    table: Table,
    items: Sequence[PriceItem],
    policy: PricePolicy,
    grouped: Sequence[Sequence[int]],
    substitutes: Substitutes | None,
) -> Problem:
    """State the problem; a family that cannot be a ladder keeps its prices."""
    kept: dict[int, str] = {}
    found = []
    for rows in grouped:
        own, cross = [], None
        if len(rows) > 1:
            own = [_of_table(ladder, rows) for ladder in _ladders(table, items, policy, rows)]
            cross = cross_of(items, rows, substitutes) if substitutes else None
        reasons = {ladder: impossible(table, ladder) for ladder in own}
        kept |= {row: reason for ladder, reason in reasons.items() if reason for row in ladder.rows}
        found.append(Group(tuple(rows), tuple(ladder for ladder in own if not reasons[ladder]), cross))
    return Problem(table.kept(list(kept)) if kept else table, tuple(found), kept)


def _ladders(table: Table, items: Sequence[PriceItem], policy: PricePolicy, rows: Sequence[int]) -> list[Ladder]:
    return ladders([items[row] for row in rows], policy, table.usable[list(rows)].tolist())


def _of_table(ladder: Ladder, rows: Sequence[int]) -> Ladder:
    """A ladder of a group's members, by their rows in the table."""
    return Ladder(tuple(tuple(rows[place] for place in pack) for pack in ladder.packs))
