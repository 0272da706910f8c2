"""The section of `planogram elasticities`."""

from typing import Literal

from pydantic import Field

from planogram.section import Names, Section


class ElasticityConfig(Section):
    """`planogram elasticities`: how demand answers to prices, by estimators that hold ever more constant."""

    shop: str = Field(..., description="folder of a prepared shop")
    out: str = Field("elasticities.json", description="file that is written; a plot and a page stand beside it")
    kind: Literal["units", "purchase", "choice"] | None = Field(
        None,
        description="what answers to the price: units, purchases after clicks, or choices; absent: what there is",
    )
    best_sellers: int | None = Field(None, ge=1, description="only so many products, of most units; absent: all")
    weekly_price: Literal["mean", "median"] = Field(
        "mean",
        description="of the orders of a week, where units are those of purchases: `mean` of units, `median` of orders",
    )
    features: Names | None = Field(
        None, description="held constant beside the price; absent: all that every row has and that vary"
    )
    split_by: str | None = Field(None, description="a feature of few values for each of which products are told apart")
    learner: Literal["ridge", "boosting"] = Field(
        "boosting", description="of cross-fitting: dummies, or dummies and trees on what these leave"
    )
    folds: int = Field(5, ge=2, description="of cross-fitting, and of held-out choices")
    block_periods: int = Field(8, ge=1, description="periods in a row of a product that one fold holds")
    cluster: Literal["none", "product", "period", "store"] | None = Field(
        None,
        description="rows whose errors are related; absent: those of a product where there are 30 products, else none",
    )
    least_sensitivity: float = Field(
        0.1,
        gt=0,
        description="smallest answer to a price that pricing may count on; an elasticity is at most minus this",
    )
