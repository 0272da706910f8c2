"""A second pair of eyes on every price before it takes effect.

This repeats the rules of `bounds` on purpose and shares no code with it: each rule is one inequality on the price
itself, in exact arithmetic, so that an error in limits, grids or the choice cannot reach a shopper.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Protocol

from planogram.pricing.decision import Decision, unchanged
from planogram.pricing.item import PriceItem, usable_price
from planogram.pricing.policy import PricePolicy

KILL_SWITCH = "kill switch"
GUARDRAIL = "guardrail: "


class Switch(Protocol):
    """What tells whether prices must stay."""

    def is_on(self) -> bool:
        """Whether it is on now."""
        ...


def check(decision: Decision, item: PriceItem, policy: PricePolicy, switch: Switch) -> Decision:
    """The decision, if its price keeps to every rule, else the current price.

    Returns:
        The same decision; or one of no change with the rule `kill switch` or `guardrail: ` and what was broken.
    """
    return check_all([decision], [item], policy, switch)[0]


def check_all(
    decisions: Sequence[Decision], items: Sequence[PriceItem], policy: PricePolicy, switch: Switch
) -> list[Decision]:
    """`check` of a batch, with the ladders of whole families: where one is broken, all of the family keep their prices.

    Args:
        decisions: of the items, in their order.
        items: what was priced.
        policy: the shop's rules.
        switch: read once for the batch.
    """
    if switch.is_on():
        return [unchanged(item, decision, KILL_SWITCH) for decision, item in zip(decisions, items, strict=True)]
    checked = [_checked(decision, item, policy) for decision, item in zip(decisions, items, strict=True)]
    for places in _families(items, policy):
        if any(_changes(checked[place], items[place]) for place in places) and _falls(checked, items, places):
            for place in places:
                checked[place] = unchanged(items[place], checked[place], GUARDRAIL + "ladder")
    return checked


def _checked(decision: Decision, item: PriceItem, policy: PricePolicy) -> Decision:
    if decision.product_id != item.product_id:
        return unchanged(item, decision, f"{GUARDRAIL}a price of {decision.product_id}")
    if not _changes(decision, item):
        return decision
    broken = next(_broken(decision.price, item, policy), None)
    return unchanged(item, decision, GUARDRAIL + broken) if broken else decision


def _changes(decision: Decision, item: PriceItem) -> bool:
    """Whether a price would change; what is no price at all does."""
    return decision.price != usable_price(item)


def _broken(price: float | None, item: PriceItem, policy: PricePolicy) -> Iterator[str]:
    """The rules that a new price breaks."""
    above_zero = [item.current_price, item.list_price, item.floor, item.ceiling, item.competitor_price]
    above_zero += [item.minimum_advertised_price, item.periods_left, item.pack_size]
    numbers = [number for number in (*above_zero, item.cost, item.stock) if number is not None]
    if not all(map(isfinite, numbers)) or min(numbers, default=0) < 0 or 0 in above_zero:
        yield "a number of the product is none"
    elif price is None or not isfinite(price) or price <= 0:
        yield "the price is none"
    elif usable_price(item) is None:
        yield "no current price"
    else:
        yield from _beyond(Fraction(str(float(price))), item, policy)


def _beyond(price: Fraction, item: PriceItem, policy: PricePolicy) -> Iterator[str]:
    """Every rule as one inequality; those about prices that others set are in `_beyond_others`."""
    cost, margin = _known(item.cost), _known(policy.min_margin)
    floor, ceiling = _known(item.floor), _known(item.ceiling)
    if floor is None and (margin is None or not cost):
        yield "no floor"
    if policy.objective == "profit" and cost is None:
        yield "no cost"
    if (price / Fraction(str(policy.currency_step))).denominator != 1:
        yield "off the currency's step"
    if floor is not None and price < floor:
        yield "floor"
    if margin is not None and cost and price * (1 - margin) < cost:
        yield "margin"
    if ceiling is not None and price > ceiling:
        yield "ceiling"
    yield from _too_far(price, item, policy)
    yield from _beyond_others(price, item, policy)


def _too_far(price: Fraction, item: PriceItem, policy: PricePolicy) -> Iterator[str]:
    current, change, reach = _known(item.current_price), _known(policy.max_change), _known(policy.reach)
    assert current is not None and reach is not None
    if change is not None and abs(price - current) > change * current:
        yield "max_change"
    if change is None and (price * reach < current or price > current * reach):
        yield "reach"


def _beyond_others(price: Fraction, item: PriceItem, policy: PricePolicy) -> Iterator[str]:
    listed, advertised, competitor = map(
        _known, (item.list_price, item.minimum_advertised_price, item.competitor_price)
    )
    if policy.respect_list_price and listed is not None and price > listed:
        yield "list_price"
    if policy.minimum_advertised and advertised is not None and price < advertised:
        yield "minimum_advertised"
    if policy.competitor_band and competitor is not None:
        low, high = map(_known, policy.competitor_band)
        if low is None or high is None or not low * competitor <= price <= high * competitor:
            yield "competitor"


@lru_cache(maxsize=1 << 12)
def _known(number: float | None) -> Fraction | None:
    return None if number is None else Fraction(str(float(number)))


def _families(items: Sequence[PriceItem], policy: PricePolicy) -> list[list[int]]:
    families: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        if policy.ladder and item.family is not None and item.pack_size is not None and usable_price(item) is not None:
            families.setdefault(item.family, []).append(place)
    return list(families.values())


def _falls(decisions: Sequence[Decision], items: Sequence[PriceItem], places: Sequence[int]) -> bool:
    """Whether any bigger pack costs less than a smaller one."""
    packs = [(items[place].pack_size or 0.0, decisions[place].price or 0.0) for place in places]
    return any(one[0] < other[0] and one[1] > other[1] for one in packs for other in packs)
