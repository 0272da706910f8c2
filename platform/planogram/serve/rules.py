"""What the rules that hold for a request do to its products, in this order: hide, boost and bury, and at last pin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from planogram.serve.rule_args import Pin, Route, Rule

Product = Mapping[str, Any]


@dataclass(frozen=True)
class RuleNote:
    """What a rule did to a result.

    Attributes:
        contribution: what a boost added to the score; 0 for others.
    """

    name: str
    effect: Literal["boost", "bury", "pin"]
    contribution: float = 0.0


@dataclass(frozen=True)
class ActiveRules:
    """The rules that hold for one request, in the order in which they are written."""

    rules: tuple[Rule, ...]

    @classmethod
    def select(cls, rules: Sequence[Rule], route: Route, query: str | None, categories: Sequence[str]) -> "ActiveRules":
        """Those whose `when` the request meets.

        Args:
            rules: of the shop.
            route: that was asked.
            query: the text that was searched for; None for a recommendation.
            categories: that the request filters by.
        """
        return cls(tuple(rule for rule in rules if rule.when.meet(route, query, categories)))

    def visible(self, products: Sequence[Product]) -> list[Product]:
        """The products that no rule hides."""
        return [product for product in products if not any(rule.hides(product) for rule in self.rules)]

    def pins(self) -> dict[str, tuple[Pin, Rule]]:
        """Product id -> its pin; the first rule that pins a product decides."""
        found: dict[str, tuple[Pin, Rule]] = {}
        for rule in self.rules:
            for pin in rule.pin:
                found.setdefault(pin.product_id, (pin, rule))
        return found

    def boost(self, product: Product, score: float) -> list[RuleNote]:
        """What boosts add to a score, one after the other.

        A factor above 1 raises a score below 0 as well: what is added is (factor - 1) * |score|.
        """
        notes: list[RuleNote] = []
        for rule in self.rules:
            if rule.boost is not None and rule.boost.where.meet(product):
                added = (rule.boost.factor - 1) * abs(score)
                score += added
                notes.append(RuleNote(rule.name, "boost", added))
        return notes

    def bury(self, product: Product) -> list[RuleNote]:
        """The rules that put a product after all others."""
        return [RuleNote(rule.name, "bury") for rule in self.rules if rule.bury is not None and rule.bury.meet(product)]


def place_pins(order: Sequence[int], pinned: Mapping[int, int]) -> list[int]:
    """Put pinned entries at their places and let the others follow in their order.

    Two pins for one place: the first of `pinned` has it, the other the next free one.
    A place beyond the end is the end.

    Args:
        order: numbers of products, best first.
        pinned: number of a product -> its position from 1, in the order of the rules.
    """
    places: dict[int, int] = {}
    displaced: list[int] = []
    for entry, position in pinned.items():
        if position in places:
            displaced.append(entry)
        else:
            places[position] = entry
    for entry in displaced:
        free = next(place for place in count(pinned[entry]) if place not in places)
        places[free] = entry
    placed = [entry for entry in order if entry not in pinned]
    for position in sorted(places):
        placed.insert(position - 1, places[position])
    return placed
