"""The sections of a campaign: what is varied, what is looked for, how, and how much it may cost."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from planogram.config.training import ClusterConfig, TrackingConfig
from planogram.section import Section

TunedStage = Literal["finetune", "pretrain", "compress"]
Mode = Literal["max", "min"]


class UniformConfig(Section):
    """Any number between two, all alike likely."""

    kind: Literal["uniform"]
    low: float = Field(..., description="smallest value")
    high: float = Field(..., description="largest value")
    points: int = Field(3, ge=2, description="of a grid, evenly spread")

    @model_validator(mode="after")
    def _rises(self) -> "UniformConfig":
        _check_bounds(self.low, self.high)
        return self


class LogUniformConfig(Section):
    """Any number between two, each order of magnitude alike likely: for rates and weights."""

    kind: Literal["loguniform"]
    low: float = Field(..., gt=0, description="smallest value")
    high: float = Field(..., gt=0, description="largest value")
    points: int = Field(3, ge=2, description="of a grid, by equal factors")

    @model_validator(mode="after")
    def _rises(self) -> "LogUniformConfig":
        _check_bounds(self.low, self.high)
        return self


class IntConfig(Section):
    """Any whole number between two, both included."""

    kind: Literal["int"]
    low: int = Field(..., description="smallest value")
    high: int = Field(..., description="largest value")
    step: int = Field(1, ge=1, description="between neighbours")

    @model_validator(mode="after")
    def _rises(self) -> "IntConfig":
        _check_bounds(self.low, self.high)
        return self


class ChoiceConfig(Section):
    """One of several values of any type, without an order."""

    kind: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(strict=False)] = Field(
        ..., min_length=2, description="as the key takes them"
    )


Parameter = Annotated[UniformConfig | LogUniformConfig | IntConfig | ChoiceConfig, Field(discriminator="kind")]


class SchedulerConfig(Section):
    """Which trials end early, by what their validations say; the untrained model's does not count."""

    kind: Literal["none", "asha", "hyperband", "pbt"] = Field(
        "none", description="`asha`: the worst at each rung; `hyperband`: with several first rungs; `pbt`: generations"
    )
    grace: int = Field(1, ge=1, description="validations before the first rung")
    reduction: int = Field(
        3, ge=2, description="one in so many goes on at a rung, and the next rung is so many times as far"
    )
    brackets: int = Field(3, ge=1, description="of hyperband: trials take turns; each begins a rung later")
    population: int = Field(4, ge=2, description="of pbt: trials of one generation")
    exploit: float = Field(0.25, gt=0, le=0.5, description="of pbt: share that is replaced by as many of the best")
    resample: float = Field(0.25, ge=0, le=1, description="of pbt: how likely a value is drawn anew, not perturbed")


class BudgetConfig(Section):
    """What a campaign may take, over all its starts; without a figure there is no limit."""

    trials: int | None = Field(None, ge=1, description="that begin, beside `trials`: the smaller one counts")
    hours: float | None = Field(None, gt=0, description="of the clock while it runs")
    cost: float | None = Field(None, gt=0, description="hours of all trials times `price_per_hour`")
    price_per_hour: float = Field(0.0, ge=0, description="of what one trial takes, in your currency")

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> "BudgetConfig":
        if self.cost is not None and not self.price_per_hour:
            raise ValueError("cost needs price_per_hour: say what an hour of one trial costs")
        return self


class TuneConfig(Section):
    """`planogram tune`: look for the best values of any keys of a stage, in trials that are ordinary runs of it."""

    name: str = Field(..., description="of the campaign; the same name again continues it")
    stage: TunedStage = Field("finetune", description="what a trial runs, as the verb of this name would")
    base: str | dict[str, Any] = Field(..., description="the stage's configuration, or the path of its YAML")
    space: dict[str, Parameter] = Field(
        ..., min_length=1, description="key (a.b.c) -> uniform, loguniform, int, choice"
    )
    metrics: dict[str, Mode] = Field(
        {"ndcg@10": "max"},
        min_length=1,
        description="what is looked for; the first one also decides who stops early and who is published; of several, "
        "those that none beats in all of them",
    )
    search: Literal["random", "grid", "tpe"] = Field("tpe", description="`tpe`: Optuna's, told of every trial so far")
    startup: int = Field(10, ge=1, description="of tpe: trials that are drawn at random before it models any")
    scheduler: SchedulerConfig = SchedulerConfig()
    trials: int = Field(12, ge=1, description="of the campaign; raise it to go on with one that has ended")
    budget: BudgetConfig = BudgetConfig()
    concurrent: int = Field(0, ge=0, description="trials at once; 0: as many as the cluster's CPUs and GPUs take")
    retries: int = Field(2, ge=0, description="of a trial whose process dies; it goes on from its last checkpoint")
    retry_failed: bool = Field(False, description="trials that failed in an earlier start are tried once more")
    latency: bool = Field(False, description="measure `latency_ms` of each cross-encoder: 32 pairs, torch, float32")
    keep: int = Field(3, ge=1, description="bundles that stay; what else a settled trial wrote is removed")
    free_gb: float = Field(1.0, ge=0, description="of disk that trials must leave free")
    publish: bool = Field(False, description="the winner goes into the registry, with alias `candidate`")
    out: str | None = Field(None, description="folder of the report; absent: that of the campaign")
    seed: int = Field(0, ge=0, description="of the search; training has its own")
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig(experiment="planogram-tuning")

    @property
    def main_metric(self) -> str:
        """The metric that decides where one must."""
        return next(iter(self.metrics))

    @model_validator(mode="after")
    def _population_is_whole(self) -> "TuneConfig":
        if self.scheduler.kind != "pbt":
            return self
        if self.search != "random":
            raise ValueError("scheduler pbt makes its own search after the first generation: set search to random")
        if self.stage == "compress":
            raise ValueError("scheduler pbt hands weights on, which compress does not take: tune finetune or pretrain")
        if "backbone.name" in self.space:
            raise ValueError("scheduler pbt hands weights on by backbone.name: take it out of space")
        return self


def _check_bounds(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"low={low} is not below high={high}: exchange them, or set the key in `base`")
