"""The rules of a shop as they are written: when one holds, which products it means, and what it does to them."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from planogram.section import Names, Section

Route = Literal["search", "recommend"]
WORD = re.compile(r"\w+")
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def folded(text: str) -> str:
    """A text without case and with single spaces: how queries are compared."""
    return " ".join(text.casefold().split())


class ProductConditions(Section):
    """Which products a rule means: those that meet all conditions. What the shop does not know meets none."""

    product_ids: Names | None = Field(None, min_length=1, description="any of these")
    brand: Names | None = Field(None, min_length=1, description="any of these, letter by letter")
    category: Names | None = Field(None, min_length=1, description="any of these, letter by letter")
    price_min: Price | None = Field(None, description="in the shop's currency, itself meant")
    price_max: Price | None = Field(None, description="in the shop's currency, itself meant")
    in_stock: bool | None = Field(None, description="true: stock is known and above 0; false: known and 0")

    @model_validator(mode="after")
    def _some_condition(self) -> "ProductConditions":
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("without a condition it means every product: give one")
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError("price_min is above price_max")
        return self

    def meet(self, product: Mapping[str, Any]) -> bool:
        """Whether a product meets all conditions."""
        price, stock = product.get("price"), product.get("stock")
        checks = (
            self.product_ids is None or product["product_id"] in self.product_ids,
            self.brand is None or product.get("brand") in self.brand,
            self.category is None or product.get("category") in self.category,
            self.price_min is None or (price is not None and price >= self.price_min),
            self.price_max is None or (price is not None and price <= self.price_max),
            self.in_stock is None or (stock is not None and (stock > 0) == self.in_stock),
        )
        return all(checks)


class QueryConditions(Section):
    """Which queries a rule is for: those that meet all conditions. Case and spaces do not matter."""

    exact: Names | None = Field(None, min_length=1, description="the whole query is one of these")
    contains: Names | None = Field(None, min_length=1, description="one of these stands in the query")
    tokens: Names | None = Field(None, min_length=1, description="all of these words stand in the query, in any order")

    @model_validator(mode="after")
    def _some_condition(self) -> "QueryConditions":
        if self.exact is None and self.contains is None and self.tokens is None:
            raise ValueError("without a condition it means every query: give exact, contains or tokens")
        return self

    def meet(self, query: str) -> bool:
        """Whether a query meets all conditions."""
        text = folded(query)
        words = set(WORD.findall(text))
        checks = (
            self.exact is None or text in map(folded, self.exact),
            self.contains is None or any(folded(part) in text for part in self.contains),
            self.tokens is None or words.issuperset(WORD.findall(folded(" ".join(self.tokens)))),
        )
        return all(checks)


class When(Section):
    """The requests that a rule is for; without conditions: all."""

    routes: Annotated[tuple[Route, ...], Field(strict=False)] = Field(
        ("search", "recommend"), min_length=1, description="search, recommend"
    )
    query: QueryConditions | None = Field(None, description="a recommendation has no query, and meets none")
    category: Names | None = Field(None, min_length=1, description="the request filters by one of these categories")

    def meet(self, route: Route, query: str | None, categories: Sequence[str]) -> bool:
        """Whether a request meets all conditions."""
        return (
            route in self.routes
            and (self.query is None or (query is not None and self.query.meet(query)))
            and (self.category is None or not set(self.category).isdisjoint(categories))
        )


class Pin(Section):
    """A product that stands at a fixed place."""

    product_id: str = Field(..., min_length=1)
    position: int = Field(..., ge=1, le=200, description="1 is the top")


class Boost(Section):
    """Products whose score is multiplied."""

    where: ProductConditions
    factor: float = Field(..., gt=0, le=100, allow_inf_nan=False, description="below 1: lowers the score")


class Rule(Section):
    """One rule. It acts on the requests that meet `when`."""

    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="appears in explanations")
    when: When = When()
    pin: Annotated[tuple[Pin, ...], Field(strict=False)] = Field((), description="products at fixed places")
    boost: Boost | None = None
    bury: ProductConditions | None = Field(None, description="these stand after all others")
    hide: ProductConditions | None = Field(None, description="these are not shown")
    hide_out_of_stock: bool = Field(False, description="products whose stock is 0 are not shown; unknown ones are")

    @model_validator(mode="after")
    def _does_something(self) -> "Rule":
        if not (self.pin or self.boost or self.bury or self.hide or self.hide_out_of_stock):
            raise ValueError("it does nothing: give pin, boost, bury, hide or hide_out_of_stock")
        for key in ("position", "product_id"):
            values = [getattr(pin, key) for pin in self.pin]
            if len(set(values)) < len(values):
                raise ValueError(f"pin names a {key} twice")
        return self

    def hides(self, product: Mapping[str, Any]) -> bool:
        """Whether the product is not to be shown."""
        if self.hide_out_of_stock and product.get("stock") is not None and product["stock"] <= 0:
            return True
        return self.hide is not None and self.hide.meet(product)
