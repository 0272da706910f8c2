"""What was decided for a product, and why."""

import math
from dataclasses import dataclass

from planogram.pricing.item import PriceItem, usable_price

NO_CHANGE = "no change: "


@dataclass(frozen=True)
class Decision:
    """The price of a product for the next period.

    Attributes:
        price: in the shop's currency; None where not even the current price is one.
        current_price: the price until now, as `price`.
        expected_units: sold per period at `price`, the mean over draws; None where nothing could be computed.
        expected_profit: per period; None without a cost.
        interval: 10 % and 90 % quantile over draws of the objective's change against the current price; None without
            draws or where nothing could be computed.
        elasticity: of the demand curve; NaN without one.
        bounds: lowest and highest allowed price; None where there are none.
        rule: what set the price: a rule at the edge of what is allowed, `ladder`, `pace`, `substitutes`, `exploration`,
            `optimum`, or `no change: ` and the reason.
        propensity: probability that this price was chosen, given all but the random numbers.
        explored: whether it differs from the best expected one.
        uniforms: the random numbers, from 0 to below 1, behind an exploration; None without one.
    """

    product_id: str
    price: float | None
    current_price: float | None
    expected_units: float | None
    expected_profit: float | None
    interval: tuple[float, float] | None
    elasticity: float
    bounds: tuple[float, float] | None
    rule: str
    propensity: float = 1.0
    explored: bool = False
    uniforms: tuple[float, float] | None = None


def unchanged(item: PriceItem, decision: Decision, rule: str) -> Decision:
    """The current price in place of a decided one, of which nothing is expected any more."""
    price = usable_price(item)
    return Decision(item.product_id, price, price, None, None, None, decision.elasticity, decision.bounds, rule)


def stays(item: PriceItem, why: str) -> Decision:
    """The current price of an item that nothing was decided for."""
    price = usable_price(item)
    return Decision(item.product_id, price, price, None, None, None, math.nan, None, NO_CHANGE + why)


def cause(rule: str) -> str:
    """What set a price, without the figures of a single product."""
    return rule.partition("; ")[0].partition(": at least")[0]
