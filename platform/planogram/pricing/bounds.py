"""The lowest and the highest price that the shop's rules allow a product, and the rule behind each."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from planogram.pricing.item import PriceItem, problem
from planogram.pricing.money import LARGEST_AMOUNT, PARTS, Ruler, exact
from planogram.pricing.policy import PricePolicy

Limit = tuple[Fraction, str]


@dataclass(frozen=True)
class Bounds:
    """Both ends are allowed; in steps of the currency.

    Attributes:
        low_rule, high_rule: the rules that set them.
    """

    low_steps: int
    high_steps: int
    low_rule: str
    high_rule: str


@dataclass(frozen=True)
class NoChange:
    """Why the current price stays, even where it keeps to no rule itself."""

    reason: str


def bounds(item: PriceItem, policy: PricePolicy) -> Bounds | NoChange:
    """The prices that keep to every rule.

    Rules: `floor`, `margin`, `minimum_advertised`, `ceiling`, `list_price`, `max_change` (or `reach`, where no largest
    change is set) and `competitor`. Of equal limits the first named counts.

    Returns:
        NoChange where a number of the item is missing or none, neither a floor nor a margin over a cost is known, the
        objective is profit without a cost, or no price keeps to all rules.
    """
    if found := problem(item):
        return NoChange(found)
    lows, highs = _lowest(item, policy), _highest(item, policy)
    if not any(rule in ("floor", "margin") for _, rule in lows):
        return NoChange("no floor" + _breach(item, lows, highs))
    if policy.objective == "profit" and item.cost is None:
        return NoChange("no cost, which the objective profit needs" + _breach(item, lows, highs))
    ruler = Ruler.of(policy.currency_step)
    low, low_rule = max(((max(ruler.up(amount), 1), rule) for amount, rule in lows), key=_steps)
    high, high_rule = min(((ruler.down(amount), rule) for amount, rule in highs), key=_steps)
    if low > high:
        lowest, highest = _said(ruler, low), _said(ruler, high)
        reason = f"contradiction: at least {lowest} by {low_rule}, at most {highest} by {high_rule}"
        return NoChange(reason + _breach(item, lows, highs))
    return Bounds(low, high, low_rule, high_rule)


def _said(ruler: Ruler, steps: int) -> str:
    """A limit in words; one that another shop's price or a ceiling sets may be beyond all floats."""
    return str(ruler.price(steps)) if steps <= LARGEST_AMOUNT * PARTS else f"more than {LARGEST_AMOUNT:g}"


def _lowest(item: PriceItem, policy: PricePolicy) -> list[Limit]:
    limits = _given((item.floor, "floor"))
    if policy.min_margin is not None and item.cost:
        limits.append((exact(item.cost) / (1 - exact(policy.min_margin)), "margin"))
    if policy.minimum_advertised:
        limits += _given((item.minimum_advertised_price, "minimum_advertised"))
    limits.append(_window(item, policy)[0])
    if policy.competitor_band and item.competitor_price is not None:
        limits.append((exact(policy.competitor_band[0]) * exact(item.competitor_price), "competitor"))
    return limits


def _highest(item: PriceItem, policy: PricePolicy) -> list[Limit]:
    limits = _given((item.ceiling, "ceiling"))
    if policy.respect_list_price:
        limits += _given((item.list_price, "list_price"))
    limits.append(_window(item, policy)[1])
    if policy.competitor_band and item.competitor_price is not None:
        limits.append((exact(policy.competitor_band[1]) * exact(item.competitor_price), "competitor"))
    return limits


def _window(item: PriceItem, policy: PricePolicy) -> tuple[Limit, Limit]:
    """How far a price may move in a period."""
    assert item.current_price is not None
    current = exact(item.current_price)
    if policy.max_change is None:
        return (current / exact(policy.reach), "reach"), (current * exact(policy.reach), "reach")
    change = exact(policy.max_change)
    return (current * (1 - change), "max_change"), (current * (1 + change), "max_change")


def _breach(item: PriceItem, lows: Sequence[Limit], highs: Sequence[Limit]) -> str:
    """What a price that stays does not keep to."""
    assert item.current_price is not None
    current = exact(item.current_price)
    broken = [rule for amount, rule in lows if current < amount] + [rule for amount, rule in highs if current > amount]
    return f"; {item.current_price} stays, although it breaks {', '.join(broken)}" if broken else ""


def _given(limit: tuple[float | None, str]) -> list[Limit]:
    amount, rule = limit
    return [] if amount is None else [(exact(amount), rule)]


def _steps(limit: tuple[int, str]) -> int:
    return limit[0]
