"""What the shop knows of a product when it is priced."""

from dataclasses import dataclass
from math import isfinite

from planogram.pricing.money import LARGEST_AMOUNT

AMOUNTS = ("current_price", "cost", "list_price", "floor", "ceiling", "minimum_advertised_price", "competitor_price")
QUANTITIES = ("stock", "periods_left", "pack_size")
NO_PRICE = "current_price is missing"
MAY_BE_ZERO = frozenset({"cost", "stock"})


@dataclass(frozen=True)
class PriceItem:
    """A product to be priced; None is what is not known. Amounts are in the shop's currency.

    Attributes:
        current_price: what it costs now; it stays where nothing may be decided.
        cost: what a unit costs the shop.
        floor, ceiling: the shop's own limits of this product.
        stock: units at hand.
        periods_left: periods until the day by which the stock should be gone.
        family: products that are sizes of one thing share it.
        pack_size: how much is in a pack, in the family's unit.
    """

    product_id: str
    current_price: float | None = None
    cost: float | None = None
    list_price: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    minimum_advertised_price: float | None = None
    competitor_price: float | None = None
    stock: float | None = None
    periods_left: float | None = None
    family: str | None = None
    pack_size: float | None = None


def problem(item: PriceItem) -> str | None:
    """Why an item cannot be priced: a number that is none, not in its range, or beyond exact arithmetic."""
    if item.current_price is None:
        return NO_PRICE
    for name in AMOUNTS + QUANTITIES:
        value = getattr(item, name)
        if value is not None and (found := _problem(name, value)):
            return found
    return None


def usable_price(item: PriceItem) -> float | None:
    """The current price, if it is one."""
    price = item.current_price
    return price if price is not None and _problem("current_price", price) is None else None


def _problem(name: str, value: float) -> str | None:
    if not isfinite(value):
        return f"{name} is {value}"
    if value < 0 or (value == 0 and name not in MAY_BE_ZERO):
        return f"{name} is {value}"
    if name in ("current_price", "cost") and value > LARGEST_AMOUNT:
        return f"{name} is {value}, above {LARGEST_AMOUNT:g}"
    return None
