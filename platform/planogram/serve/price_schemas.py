"""What `/price` is asked and answers. No field says who asks or who buys: prices are of products alone."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from planogram.serve.answers import Model
from planogram.serve.schemas import MAX_CANDIDATES, Name, Price, Request

MAX_ITEMS = MAX_CANDIDATES


class PricedItem(Request):
    """A product to be priced. What the catalogue knows holds; the rest may be said here. Amounts in its currency."""

    product_id: Name
    current_price: Price | None = Field(None, description="where the catalogue has no price")
    cost: Price | None = Field(None, description="where the catalogue has none")
    list_price: Price | None = Field(None, description="where the catalogue has none")
    floor: Price | None = Field(None, description="never below")
    ceiling: Price | None = Field(None, description="never above")
    minimum_advertised_price: Price | None = None
    competitor_price: Price | None = None
    stock: float | None = Field(None, ge=0, allow_inf_nan=False, description="units, where the catalogue has none")
    periods_left: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="until the day by which the stock should be gone"
    )
    family: Name | None = Field(None, description="sizes of one thing share it")
    pack_size: float | None = Field(None, gt=0, allow_inf_nan=False)


class PriceRequest(Request):
    """Body of `POST /price`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"product_id": "p-17", "floor": 60.0}], "objective": "profit", "explain": True}]
        }
    )

    items: list[PricedItem] = Field(..., min_length=1, max_length=MAX_ITEMS)
    objective: Literal["profit", "revenue", "units"] | None = Field(None, description="absent: the shop's policy")
    explain: bool = Field(False, description="add points of the demand curve")

    @model_validator(mode="after")
    def _each_product_once(self) -> "PriceRequest":
        if len({item.product_id for item in self.items}) < len(self.items):
            raise ValueError("items name a product twice")
        return self


class CurvePoint(BaseModel):
    """What is expected at a price, per period; low and high: 10 and 90 % of the model's members."""

    price: float
    units: float
    units_low: float
    units_high: float
    profit: float | None


class PricedProduct(BaseModel):
    """The price of a product, and why. What could not be computed is null."""

    product_id: str
    price: float | None = Field(description="null where not even a current price is known")
    current_price: float | None
    expected_units: float | None = Field(description="per period")
    expected_profit: float | None = Field(description="per period")
    elasticity: float | None = Field(description="of units at the price: how many percent fewer for one percent more")
    interval: list[float] | None = Field(description="10 and 90 % of the change of the objective, per period")
    bounds: list[float] | None = Field(description="lowest and highest allowed price")
    rule: str = Field(description="what set the price; `no change: ` and why where it stays")
    propensity: float = Field(description="probability that this price was chosen; below 1 where prices explore")
    known: bool = Field(description="whether the model has seen sales of the product")
    curve: list[CurvePoint] | None = None


EXAMPLE: dict[str, JsonValue] = {
    "request_id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
    "model": {"name": "shop-demand", "version": 2, "digest": "9f2c4e1ab0d37788"},
    "took_ms": 12.1,
    "degraded": False,
    "reason": None,
    "objective": "profit",
    "prices": [
        {
            "product_id": "p-17",
            "price": 82.99,
            "current_price": 79.9,
            "expected_units": 11.2,
            "expected_profit": 258.0,
            "elasticity": 2.1,
            "interval": [1.5, 9.8],
            "bounds": [71.91, 87.89],
            "rule": "optimum",
            "propensity": 1.0,
            "known": True,
            "curve": None,
        }
    ],
}


class PriceResponse(BaseModel):
    """Body of the answer to `POST /price`, in the order of the items."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    request_id: str
    model: Model
    took_ms: float
    degraded: bool = Field(description="prices stay because something failed; `reason` says what")
    reason: str | None = None
    objective: Literal["profit", "revenue", "units"]
    prices: list[PricedProduct]


class SwitchRequest(Request):
    """Body of `POST /admin/prices`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stop": True, "why": "wrong costs were imported"}]})

    stop: bool = Field(description="true: no price changes from now on; false: prices change again")
    why: str = Field(min_length=1, max_length=1000, description="stands in the history of the switch")


class SwitchResponse(BaseModel):
    """Whether prices stay."""

    request_id: str
    stopped: bool
    who: str | None = Field(None, description="who stopped them: the name of an API key")
    why: str | None = None
