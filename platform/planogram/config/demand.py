"""The section of a demand model: what a product sells at which price."""

from typing import Literal

from pydantic import Field, model_validator

from planogram.config.data import SplitConfig
from planogram.config.model import AdapterConfig, BackboneConfig, TowerConfig
from planogram.config.training import RepeatConfig, RunConfig, TrainConfig
from planogram.section import Section

# Of a product's log elasticity, 0.02 to 50: beyond, its price would mean nothing, or nobody would buy it.
LOG_ELASTICITIES = (-4.0, 4.0)

DemandKind = Literal["units", "purchase", "choice"]


class EffectsConfig(Section):
    """What moves prices and demand together, and is partialled out before the price is judged.

    Attributes of products and periods are given to scikit-learn's gradient boosting, fitted on other folds than it
    predicts: what remains of a price is what was set for no reason that the data knows.
    """

    method: Literal["crossfit", "none"] = Field(
        "crossfit", description="`none`: prices against the product's mean price, for prices that were drawn at random"
    )
    folds: int = Field(5, ge=2, description="of the cross-fitting")


class DemandConfig(RunConfig):
    """`planogram finetune` with `task: demand`: level and price elasticity of a product's demand, from its text."""

    name: str = Field("shop-demand", description="of the bundle")
    task: Literal["demand"] = "demand"
    kind: DemandKind = Field(
        "units",
        description="what answers to the price: `units` of a period, `purchase` per impression, or the `choice` among "
        "alternatives",
    )
    best_sellers: int | None = Field(None, ge=2, description="only the products that sold most; absent: all")
    weekly_price: Literal["mean", "median"] = Field(
        "mean",
        description="of `units` from purchases: what a unit brought; `median` where large orders get discounts",
    )
    loss: Literal["likelihood", "loglog"] = Field(
        "likelihood", description="Poisson, binomial or multinomial, by kind; `loglog`: least squares of log units"
    )
    effects: EffectsConfig = EffectsConfig()
    members: int = Field(
        8,
        ge=1,
        le=64,
        description="pairs of heads, each trained on a bootstrap sample: their spread is the uncertainty",
    )
    prior: float = Field(
        0.1,
        ge=0,
        description="strength that draws a product's log elasticity to the shop's; the loss of so many mean rows",
    )
    level_prior: float = Field(
        10.0,
        ge=0,
        description="the same of the level: strong, since the offset says what is expected; not of choices",
    )
    split: SplitConfig = Field(
        SplitConfig(by="time"), description="by `time`, `product`, or `user`: the household of a choice"
    )
    backbone: BackboneConfig = Field(BackboneConfig(pooling="mean"), description="`pooling` is mean here")
    adapter: AdapterConfig = AdapterConfig()
    tower: TowerConfig = Field(TowerConfig(), description="features of the demand table, or `loyalty` of choices")
    train: TrainConfig = Field(
        TrainConfig(epochs=4, micro_batch=128, list_size=16, validations_per_epoch=1),
        description="`list_size`: rows of one product that stand together, whose text is read once",
    )
    repeat: RepeatConfig = RepeatConfig()

    @model_validator(mode="after")
    def _split_divides_demand(self) -> "DemandConfig":
        if self.split.by not in ("time", "product", "user", "given"):
            raise ValueError(f"split.by={self.split.by}: rows of demand are split by time, product, user or given")
        return self

    @model_validator(mode="after")
    def _loglog_is_of_units(self) -> "DemandConfig":
        if self.loss == "loglog" and self.kind != "units":
            raise ValueError(f"loss=loglog is of units, not of {self.kind}: set loss=likelihood")
        return self

    @model_validator(mode="after")
    def _matches_need_two_texts(self) -> "DemandConfig":
        if self.tower.match:
            raise ValueError("tower.match compares two texts, and demand reads one: set tower.match=false")
        return self
