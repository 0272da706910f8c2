"""One section for each stage of the command; each is what a YAML file of that stage holds."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from planogram.config.compress import DistillConfig, EngineName
from planogram.config.data import (
    ALL_SOURCES,
    ClickConfig,
    HeadTask,
    SimulateConfig,
    SplitConfig,
    TextConfig,
    TextSource,
)
from planogram.config.demand import DemandConfig
from planogram.config.model import (
    LISTWISE_LOSSES,
    AdapterConfig,
    BackboneConfig,
    CalibrationConfig,
    ContrastiveConfig,
    LossConfig,
    SequenceConfig,
    TowerConfig,
    TransitionConfig,
)
from planogram.config.training import (
    ClusterConfig,
    ItemOptimizerConfig,
    LaunchConfig,
    OptimizerConfig,
    RepeatConfig,
    RunConfig,
    TrainConfig,
)
from planogram.errors import ConfigError
from planogram.section import Names, Section, parse, values_of


class FinetuneConfig(RunConfig):
    """`planogram finetune`: train one task, or several on one backbone, on a prepared shop and write a bundle."""

    model: Literal["cross-encoder", "bi-encoder"] = Field(
        "cross-encoder", description="reads two texts together and scores them, or turns each into a vector"
    )
    task: HeadTask = Field("relevance", description="the first head, whose metric chooses the best weights")
    auxiliary: dict[HeadTask, float] = Field(
        default_factory=dict, description="further heads on the same backbone, with the weights of their losses"
    )
    weighting: Literal["fixed", "uncertainty"] = Field(
        "fixed", description="of several tasks; `uncertainty`: learned (Kendall et al. 2018)"
    )
    adapter: AdapterConfig = AdapterConfig()
    tower: TowerConfig = TowerConfig()
    clicks: ClickConfig = ClickConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    contrastive: ContrastiveConfig = ContrastiveConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    repeat: RepeatConfig = RepeatConfig()

    @property
    def tasks(self) -> tuple[HeadTask, ...]:
        """Names of all heads, the main one first."""
        return (self.task, *(name for name in self.auxiliary if name != self.task))

    @model_validator(mode="after")
    def _unlabelled_are_searched(self) -> "FinetuneConfig":
        if self.distill.unlabelled and (self.tasks != ("relevance",) or self.tower.features):
            raise ValueError(
                "distill.unlabelled finds products for queries: set it for task=relevance alone, without tower.features"
            )
        return self

    @model_validator(mode="after")
    def _lists_to_compare(self) -> "FinetuneConfig":
        if self.train.list_size == 1 and any(self.loss.weights().get(name) for name in LISTWISE_LOSSES):
            raise ValueError(
                f"{', '.join(LISTWISE_LOSSES)} compare products of one query: set train.list_size to 2 or more"
            )
        return self


class NextItemConfig(RunConfig):
    """`planogram finetune` with `task: next_item`: what a shopper takes next, among the whole catalogue."""

    task: Literal["next_item"] = "next_item"
    split: SplitConfig = SplitConfig(by="given")
    sequence: SequenceConfig = SequenceConfig()
    transitions: TransitionConfig = TransitionConfig()
    mask_history: bool = Field(False, description="never propose what the shopper has had")
    with_valid: bool = Field(
        False,
        description="validation rows train too: metrics are of what was learned (seen.*), and the last weights stay",
    )
    refit: bool = Field(
        False, description="train again with_valid, for the epochs and the weight of counts that validation chose"
    )
    repeat: RepeatConfig = RepeatConfig()
    optimizer: ItemOptimizerConfig = Field(
        ItemOptimizerConfig(), description="`learning_rate` is of all weights and 1e-3 here, `weight_decay` 0"
    )

    @property
    def parts(self) -> list[str]:
        """The parts of the shop that train."""
        return ["train", "valid"] if self.with_valid else ["train"]

    @model_validator(mode="after")
    def _counts_of_validation_weigh_what_was_fitted(self) -> "NextItemConfig":
        if self.with_valid and self.transitions.window and self.transitions.weight is None:
            raise ValueError("with_valid leaves nothing to fit transitions.weight on: give it, or set refit instead")
        if self.with_valid and self.refit:
            raise ValueError("refit sets with_valid for its second training: set one of them")
        return self


class PretrainConfig(RunConfig):
    """`planogram pretrain`: model a shop's own language and write a bundle that `finetune` takes as its backbone."""

    name: str = Field("shop-language", description="of the bundle")
    objective: Literal["masked", "causal"] = Field("masked", description="`causal`: the next token, for decoders")
    masking: Literal["token", "whole_word", "span"] = Field(
        "whole_word", description="what is masked as one; a Chinese character is a word"
    )
    mask_share: float = Field(0.15, gt=0, lt=1, description="of a text's tokens")
    mean_span: float = Field(3.0, ge=1, le=10, description="of span: words, before lengths are cut at 10")
    sources: Annotated[tuple[TextSource, ...], Field(strict=False)] = Field(
        ALL_SOURCES,
        min_length=1,
        description="whose text, of those that the shop has; `queries`: judged and shown ones",
    )
    part: Literal["train", "all"] = Field(
        "train", description="`train`: without texts of rows that validate or test by `split`, products aside"
    )
    valid_share: float = Field(0.05, gt=0, lt=1, description="share of different texts that validates, by their hash")
    # A new model learns from nothing: its rates are above those of fine-tuning.
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=5e-4, head_learning_rate=5e-4)


SliceName = Literal["category", "price", "traffic", "new", "locale", "length"]


class EvaluateConfig(Section):
    """`planogram evaluate`: score a split of a shop with a bundle and report the metrics."""

    bundle: str = Field(..., description="registry reference (name@alias, name:version) or the folder of a bundle")
    shop: str = Field(..., description="folder of a prepared shop")
    part: Literal["train", "valid", "test", "all"] = "test"
    task: HeadTask | None = Field(None, description="what the first head is measured against; absent: its own task")
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    clicks: ClickConfig | None = Field(None, description="how clicks are counted; absent: as the bundle was trained")
    engine: EngineName = Field("torch-fp32", description="that scores; `openvino-…` needs its export in the bundle")
    floor: str | None = Field(
        None, description="a feature of the model, such as liked_share: how much better the scores order than it alone"
    )
    slices: Annotated[tuple[SliceName, ...], Field(strict=False)] = Field(
        (), description="also by kinds of queries, where the shop's tables tell them; `traffic`: head or tail"
    )
    compare: str | None = Field(None, description="registry reference or folder of another bundle, on the same lists")
    robustness: int = Field(
        0, ge=0, description="also of so many queries with typos, other words and stuffed titles; 0: not measured"
    )
    out: str | None = Field(None, description="folder for plots, a table of queries and the result; absent: none")
    k: int = Field(10, ge=1, description="cut of NDCG, MRR and recall")
    batch_tokens: int = Field(4096, ge=128)
    bootstrap: int = Field(
        1000, ge=0, description="resamples for the 95 % intervals; 200 at most of what is no mean over queries; 0: none"
    )
    seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    cluster: ClusterConfig = ClusterConfig()


class BlendConfig(Section):
    """`planogram blend`: learn how much popularity, stock, margin and other signals count beside relevance."""

    bundle: str = Field(..., description="registry reference (name@alias, name:version) or the folder of a bundle")
    shop: str = Field(..., description="folder of a prepared shop")
    out: str = Field("blend.json", description="file that is written: what `blend.file` of a serve config names")
    task: Literal["relevance", "click", "purchase"] = Field(
        "relevance", description="what is better: judged grades, clicks per examination, or purchases per click"
    )
    signals: Names | None = Field(
        None, min_length=1, description="that may count; absent: every head of the bundle and every signal of products"
    )
    fit: Literal["train", "valid"] = Field(
        "valid", description="part that the weights are fitted on; the bundle knows `train` by heart"
    )
    measure: Literal["valid", "test"] = Field("test", description="part that the blend is measured on")
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    clicks: ClickConfig | None = Field(None, description="how clicks are counted; absent: as the bundle was trained")
    engine: EngineName = Field("torch-fp32", description="that scores; `openvino-…` needs its export in the bundle")
    k: int = Field(10, ge=1, description="cut of NDCG")
    batch_tokens: int = Field(4096, ge=128)
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % interval of the gain; 0: none")
    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _parts_are_different(self) -> "BlendConfig":
        if self.fit == self.measure:
            raise ValueError(f"fit and measure are both {self.fit}: measure on what was not fitted")
        return self

    def evaluation(self) -> EvaluateConfig:
        """How the bundle scores."""
        shared = ("bundle", "shop", "split", "clicks", "engine", "batch_tokens", "workers", "cluster", "k", "seed")
        return EvaluateConfig(**{name: getattr(self, name) for name in shared})


TrainingMethod = Literal[
    "full", "head", "lora", "rslora", "dora", "adalora", "ia3", "prefix", "houlsby", "qlora-nf4", "qlora-int8"
]


#: method -> what it is as an adapter
TRAINING_METHODS: dict[TrainingMethod, dict[str, str]] = {
    "full": {"method": "none"},
    "head": {"method": "head"},
    "lora": {"method": "lora"},
    "rslora": {"method": "rslora"},
    "dora": {"method": "dora"},
    "adalora": {"method": "adalora"},
    "ia3": {"method": "ia3"},
    "prefix": {"method": "prefix"},
    "houlsby": {"method": "houlsby"},
    "qlora-nf4": {"method": "lora", "base": "nf4"},
    "qlora-int8": {"method": "lora", "base": "int8"},
}


class BenchmarkTrainingConfig(Section):
    """`planogram benchmark training`: full fine-tuning beside parameter-efficient methods, on the same samples."""

    name: str = Field("training", description="of the result's files and of the runs")
    methods: Annotated[tuple[TrainingMethod, ...], Field(strict=False)] = Field(
        tuple(TRAINING_METHODS),
        min_length=1,
        description="`full` trains all weights; `qlora`: lora on a quantized base",
    )
    finetune: FinetuneConfig = Field(
        ...,
        description="what all methods share, with the seeds and folds of its `repeat`; name, run, and method and base "
        "of its adapter are set for each method",
    )
    overrides: dict[TrainingMethod, dict[Literal["adapter", "optimizer"], dict[str, Any]]] = Field(
        default_factory=dict,
        description="method -> `adapter` or `optimizer` -> keys that it has otherwise: adapters want higher rates than "
        "full fine-tuning",
    )

    def method_config(self, method: TrainingMethod) -> FinetuneConfig:
        """The configuration of a method's fine-tuning.

        Raises:
            ConfigError: an override does not fit.
        """
        shared = self.finetune.model_dump()
        own = self.overrides.get(method, {})
        adapter = {**shared["adapter"], "method": "none", "base": "fp32", **own.get("adapter", {})}
        given = {
            "name": f"{self.finetune.name}-{method}",
            "repeat": {**shared["repeat"], "seeds": self.finetune.repeat.seeds or (self.finetune.train.seed,)},
            "optimizer": {**shared["optimizer"], **own.get("optimizer", {})},
            "adapter": {**adapter, **TRAINING_METHODS[method]},
        }
        return parse(FinetuneConfig, {**shared, **given}, f"overrides.{method}")

    @model_validator(mode="after")
    def _overrides_fit(self) -> "BenchmarkTrainingConfig":
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("methods names one twice")
        for method, sections in self.overrides.items():
            if named := {"method", "base"} & sections.get("adapter", {}).keys():
                raise ValueError(f"overrides.{method}.adapter has {', '.join(sorted(named))}: that is what a method is")
            self.method_config(method)
        return self


class DemoConfig(Section):
    """`planogram demo`: the whole line on a simulated shop, or on a prepared one."""

    simulate: SimulateConfig = SimulateConfig()
    split: SplitConfig = SplitConfig()
    text: TextConfig = TextConfig(fields=("title", "attributes", "description"), max_tokens=64)
    backbone: BackboneConfig = BackboneConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig(epochs=2, micro_batch=32, validations_per_epoch=1)
    encoder_train: TrainConfig = Field(
        TrainConfig(epochs=1, micro_batch=32, validations_per_epoch=1), description="as `train`, of the encoder"
    )
    demand_train: TrainConfig = Field(
        TrainConfig(epochs=4, micro_batch=128, list_size=16, validations_per_epoch=1),
        description="as `train`, of the demand model, whose heads alone learn",
    )
    launch: LaunchConfig = LaunchConfig()
    cluster: ClusterConfig = ClusterConfig()
    port: int = Field(8000, ge=1, le=65535)


def load_finetune(
    path: str | None = None, overrides: Sequence[str] = ()
) -> FinetuneConfig | NextItemConfig | DemandConfig:
    """Read the section of `planogram finetune`, which depends on its `task`.

    Raises:
        ConfigError: the task does not exist; or as `load`.
    """
    return parse_finetune(values_of(path, overrides), path or "the command line")


def parse_finetune(values: dict[str, Any], source: str) -> FinetuneConfig | NextItemConfig | DemandConfig:
    """Check values against the section of `planogram finetune` that their `task` asks for.

    Raises:
        ConfigError: the task does not exist; or as `section.parse`.
    """
    task = values.get("task", FinetuneConfig.model_fields["task"].default)
    if task == "next_item":
        return parse(NextItemConfig, values, source)
    if task == "demand":
        return parse(DemandConfig, values, source)
    if task not in get_args(HeadTask):
        raise ConfigError(
            f"task {task!r} does not exist",
            allowed=", ".join([*get_args(HeadTask), "next_item", "demand"]),
            remedy="choose one",
        )
    return parse(FinetuneConfig, values, source)
