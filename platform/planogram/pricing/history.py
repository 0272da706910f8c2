"""What the audit says of one product: its prices in the order of time, and what set each."""

from dataclasses import dataclass

from planogram.errors import DataError
from planogram.pricing.audit import read
from planogram.pricing.curve import DemandCurve
from planogram.pricing.item import PriceItem
from planogram.pricing.replay import curve_again, item_again


@dataclass(frozen=True)
class Priced:
    """One decision about a product.

    Attributes:
        at: when, UTC, ISO 8601.
        price: after the guardrails; None: it had none and has none.
        decided: before them.
        rule: what set the price.
        curve: the demand that was expected.
        bounds: lowest and highest allowed price; None where there were none.
    """

    at: str
    item: PriceItem
    price: float | None
    decided: float | None
    rule: str
    curve: DemandCurve
    bounds: tuple[float, float] | None


def history(path: str, product_id: str) -> list[Priced]:
    """Every decision about a product, oldest first.

    Args:
        path: of the audit.
        product_id: of the product.

    Raises:
        DataError: there is none.
        IntegrityError: the log is damaged.
    """
    found = []
    for line in read(path):
        products = [item["product_id"] for item in line.get("items", ())]
        if product_id not in products:
            continue
        place = products.index(product_id)
        decision, (price, rule) = line["decisions"][place], line["final"][place]
        bounds = decision["bounds"] and (decision["bounds"][0], decision["bounds"][1])
        item, curve = item_again(line["items"][place]), curve_again(line["curves"][place])
        found.append(Priced(line["at"], item, price, decision["price"], rule, curve, bounds))
    if not found:
        raise DataError(
            f"no decision about {product_id!r} in {path}",
            remedy="prices are recorded by POST /price and by `planogram reprice` with apply=true",
        )
    return found
