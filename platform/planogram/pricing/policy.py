"""The shop's rules for prices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planogram.pricing.grid import digits
from planogram.pricing.money import PARTS, Ruler, exact
from planogram.section import Section

Ending = Annotated[float, Field(ge=0, lt=1000)]
Ratio = Annotated[float, Field(gt=0, le=100)]


class PricePolicy(Section):
    """What a price must keep to, and what it is chosen for. All amounts are in the shop's currency.

    A product whose lowest price is not known, by its own floor or by cost and `min_margin`, keeps its price.
    """

    objective: Literal["profit", "revenue", "units"] = Field(
        "profit", description="per period, which the price makes largest; `profit` needs a cost"
    )
    min_margin: float | None = Field(
        None, ge=0, lt=1, description="smallest share of the price above the cost: price >= cost / (1 - min_margin)"
    )
    respect_list_price: bool = Field(True, description="never above the product's list price, where it has one")
    minimum_advertised: bool = Field(True, description="never below its minimum advertised price, where it has one")
    max_change: float | None = Field(
        0.1, gt=0, lt=1, description="largest change in a period, as share of the current price; absent: `reach`"
    )
    reach: float = Field(
        2.0, gt=1, le=10, description="without max_change: largest ratio of new and current price, up or down"
    )
    endings: tuple[Ending, ...] = Field(
        (), strict=False, description="last digits that prices have, as 0.99 or, without cents, 80; absent: any"
    )
    currency_step: float = Field(0.01, ge=0.0001, le=1000, description="prices are whole numbers of it; 1 for JPY")
    competitor_band: tuple[Ratio, Ratio] | None = Field(
        None, strict=False, description="lowest and highest ratio to the competitor's price, where it is known"
    )
    ladder: bool = Field(False, description="in a family a bigger pack never costs less than a smaller one")
    pace: bool = Field(False, description="what sells beyond stock / periods_left in a period counts nothing")
    exploration: Literal["none", "thompson", "epsilon"] = Field(
        "none", description="`thompson`: best under one draw of the demand; `epsilon`: now and then any price near"
    )
    epsilon: float = Field(0.05, gt=0, le=1, description="of `epsilon`: probability to explore")
    epsilon_width: float = Field(0.05, gt=0, lt=1, description="of `epsilon`: how far from the best, share of it")
    grid_size: int = Field(64, ge=2, le=1000, description="most prices that are compared, evenly between the limits")

    @model_validator(mode="after")
    def _fits_together(self) -> "PricePolicy":
        if (exact(self.currency_step) * PARTS).denominator != 1:
            raise ValueError(f"currency_step {self.currency_step} is not a whole number of 1/{PARTS}")
        ruler = Ruler.of(self.currency_step)
        for ending in self.endings:
            if ruler.steps(ending) is None or ruler.steps(digits(ending)) is None:
                raise ValueError(f"endings: {ending} does not fit a currency_step of {self.currency_step}")
        if self.competitor_band and self.competitor_band[0] > self.competitor_band[1]:
            raise ValueError("competitor_band: its lower ratio is above its higher one")
        return self
