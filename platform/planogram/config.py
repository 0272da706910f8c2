"""The configuration of every stage, one section each."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from planogram.errors import ConfigError
from planogram.section import Names, Section, parse, values_of


class ClusterConfig(Section):
    """Which Ray cluster to use."""

    address: str | None = Field(None, description="ray://… or host:port; absent: RAY_ADDRESS, else a local cluster")
    num_cpus: int | None = Field(None, ge=1, description="CPUs of the local cluster; absent: all of this machine")
    show_worker_output: bool = Field(False, description="print what workers print; it stands in Ray's logs anyway")


class SplitConfig(Section):
    """Which examples train, validate and test. Never random over rows."""

    by: Literal["query", "user", "product", "session", "text", "time", "given"] = Field(
        "query",
        description="the group kept together (`text`: equal texts); `time`: by timestamp; `given`: the table's own "
        "split column",
    )
    folds: int = Field(5, ge=2, description="test share is 1 / folds")
    fold: int = Field(0, ge=0, description="which of the folds tests")
    valid_share: float = Field(0.1, gt=0, lt=1, description="share of what remains that validates, split the same way")
    seed: int = Field(0, ge=0, description="of the choice of what validates")

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitConfig":
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are 0 to {self.folds - 1}")
        return self


class TextConfig(Section):
    """How rows become text."""

    language: Literal["en", "zh"] = Field("en", description="of the words around the values")
    features: Names | None = Field(
        None, description="features of a visit that are written out; absent: all that the tower does not take"
    )
    season: bool = Field(
        False, description="click, purchase: the season of a page stands beside its query; when served, today's"
    )
    history: int = Field(10, ge=1, description="newest products of a shopper's history that are written out")
    fields: Names = Field(("title", "brand", "category", "attributes", "description"), min_length=1)
    max_tokens: int = Field(128, ge=8, le=8192, description="of query and product together, special tokens included")


Pooling = Literal["cls", "mean", "pair", "last"]


# Not from data.tokenizer, whose library takes a second to import.
TokenizerKind = Literal["wordpiece", "bpe"]


class BackboneConfig(Section):
    """The language model under the heads."""

    name: str = Field("minilm-l6", description="minilm-l6, scratch, a Hugging Face id, or a local folder")
    pooling: Pooling = Field(
        "pair",
        description="token states into features: `pair` compares the query's mean with the product's; "
        "`last`: the last token, for decoders",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="of hidden states, and before the heads")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights; above 0, steps on a CPU take a quarter longer"
    )
    freeze_embeddings: bool = Field(
        False, description="token vectors stay as they were pretrained; they are half of MiniLM's weights"
    )
    family: Literal["bert", "gpt2"] = Field("bert", description="scratch: an encoder, or a decoder")
    vocab_size: int = Field(8192, ge=128, description="scratch: size of the trained tokenizer")
    tokenizer: TokenizerKind = Field(
        "wordpiece",
        description="scratch: `bpe` also joins Chinese characters that often stand together; "
        "`wordpiece` keeps each a token",
    )
    hidden_size: int = Field(128, ge=8, description="scratch")
    layers: int = Field(2, ge=1, description="scratch")
    attention_heads: int = Field(4, ge=1, description="scratch")


LISTWISE_LOSSES = ("pairwise_logistic", "listnet", "listmle", "lambda_ndcg")


class LossConfig(Section):
    """Weighted sum of losses; the weights need not add up to one."""

    mse: float = Field(0.0, ge=0)
    bce: float = Field(1.0, ge=0)
    focal: float = Field(0.0, ge=0)
    pairwise_logistic: float = Field(0.0, ge=0)
    listnet: float = Field(0.0, ge=0)
    listmle: float = Field(0.0, ge=0)
    lambda_ndcg: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of bce: targets move this share of the way to 1/2")
    focal_gamma: float = Field(2.0, ge=0, description="of focal: how much easy examples are played down")

    @model_validator(mode="after")
    def _some_loss(self) -> "LossConfig":
        if not any(self.weights().values()):
            raise ValueError("every loss has weight 0: give at least one a positive weight")
        return self

    def weights(self) -> dict[str, float]:
        """The losses that count: name -> weight."""
        values = self.model_dump(exclude={"label_smoothing", "focal_gamma"})
        return {name: weight for name, weight in values.items() if weight > 0}


class TowerConfig(Section):
    """Numbers and categories beside the text, through a small dense network."""

    features: Names = Field((), description="columns or keys of the task's rows; absent: text alone")
    match: bool = Field(False, description="how many words of each text stand in the other, in what order, and where")
    categories: Names = Field((), description="of the features, those whose numbers are codes and no amounts")
    hidden_size: int = Field(64, ge=1)
    crosses: int = Field(0, ge=0, le=4, description="layers that form products of columns, before the dense ones")
    dropout: float = Field(0.3, ge=0, lt=1, description="after each of the two dense layers")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of the columns")

    @model_validator(mode="after")
    def _categories_are_features(self) -> "TowerConfig":
        if unknown := [name for name in self.categories if name not in self.features]:
            raise ValueError(f"categories names {', '.join(unknown)}, which features does not: add it there")
        return self


AdapterMethod = Literal["none", "head", "lora", "rslora", "dora", "adalora", "ia3", "prefix", "houlsby"]


class AdapterConfig(Section):
    """Parameter-efficient tuning of the backbone; heads always train."""

    method: AdapterMethod = Field("none", description="`none`: all weights train; `head`: the backbone is frozen")
    rank: int = Field(8, ge=1, description="of lora, rslora, dora; adalora's mean rank at the end")
    alpha: float = Field(16.0, gt=0, description="scale of the update; lora divides it by rank, rslora by its root")
    dropout: float = Field(0.0, ge=0, lt=1, description="of lora and its kin")
    bottleneck: int = Field(48, ge=1, description="houlsby: width of the bottleneck")
    prefix_tokens: int = Field(16, ge=1, description="prefix: virtual tokens of every layer")
    base: Literal["fp32", "nf4", "int8"] = Field("fp32", description="frozen weights by bitsandbytes (QLoRA)")
    merge: bool = Field(True, description="fold it into the weights where the method can; else the bundle holds it")

    @model_validator(mode="after")
    def _quantized_base_is_frozen(self) -> "AdapterConfig":
        if self.base != "fp32" and self.method == "none":
            raise ValueError(f"base {self.base} cannot train: choose an adapter method")
        return self


class OptimizerConfig(Section):
    """AdamW and its learning-rate schedule."""

    learning_rate: float = Field(5e-5, gt=0)
    head_learning_rate: float = Field(2e-4, gt=0, description="heads are new and may learn faster")
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: float = Field(0.1, ge=0, le=1, description="share of all steps with rising learning rate")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip_norm: float = Field(1.0, gt=0)


class TrainConfig(Section):
    """The shared training loop."""

    epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1, description="stop after so many optimizer steps, whatever the epochs")
    micro_batch: int = Field(16, ge=1, description="examples in one forward pass of one worker")
    accumulation: int = Field(1, ge=1, description="micro batches in one optimizer step")
    list_size: int = Field(
        1, ge=1, description="examples of one query that stand together; pairwise and listwise losses need 2 or more"
    )
    eval_batch_tokens: int = Field(4096, ge=128, description="padded tokens in one forward pass of validation")
    validations_per_epoch: int = Field(2, ge=1, description="each also writes a checkpoint")
    patience: int = Field(3, ge=1, description="stop after so many validations without a better one")
    select_by: str | None = Field(
        None,
        description="validation metric that chooses the best weights (`log_loss`: the lowest); absent: the task's; "
        "`step`: the last weights",
    )
    seed: int = Field(0, ge=0)
    zero_stage: int = Field(2, ge=0, le=3, description="DeepSpeed ZeRO")
    precision: Literal["auto", "fp32", "autocast", "bf16"] = Field(
        "auto",
        description="`autocast`: float32 weights, matrix products in bfloat16; `bf16`: bfloat16 weights too; "
        "`auto`: autocast where every worker multiplies bfloat16 in hardware, else fp32",
    )


class LaunchConfig(Section):
    """Where the training loop runs."""

    workers: int = Field(2, ge=0, description="Ray Train workers; 0: in this process, without a cluster")
    cpus_per_worker: int = Field(1, ge=1)
    gpu: bool = Field(False, description="one GPU per worker")
    max_failures: int = Field(3, ge=0, description="restarts from the last whole checkpoint")


class TrackingConfig(Section):
    """Where runs are recorded."""

    experiment: str = "planogram"
    uri: str | None = Field(
        None, description="MLflow tracking server; absent: MLFLOW_TRACKING_URI, else SQLite under PLANOGRAM_HOME"
    )


class SimulateConfig(Section):
    """`planogram data simulate`: a shop whose truth is known."""

    products: int = Field(500, ge=10)
    shoppers: int = Field(2000, ge=1)
    queries: int = Field(120, ge=5)
    sessions: int = Field(20000, ge=1, description="search sessions; each shows `page_size` products")
    page_size: int = Field(10, ge=2, le=100)
    reviews: int = Field(2000, ge=0)
    judged_per_query: int = Field(24, ge=2, description="products with a true grade in the judgments table, per query")
    judgment_noise: float = Field(0.0, ge=0, le=1, description="share of judgments one grade off the truth")
    randomised_share: float = Field(0.1, ge=0, le=1, description="share of sessions that see a random page")
    seed: int = Field(0, ge=0)


HeadTask = Literal["relevance", "click", "purchase", "sentiment", "similarity", "preference"]


class ClickConfig(Section):
    """How click logs become training targets: shoppers look at the top of a page first, whatever stands there."""

    debias: Literal["none", "ips", "position_feature"] = Field(
        "none", description="`ips`: clicks over expected examination; `position_feature`: a learned bias per position"
    )
    propensities: Literal["em", "randomised"] = Field(
        "em", description="of `ips`: by regression EM, or from the pages that were shuffled (rows with a propensity)"
    )
    clip: float = Field(0.05, gt=0, le=1, description="smallest examination that is believed")


class ContrastiveConfig(Section):
    """Learning of vectors: a query near its products, far from those of others."""

    temperature: float = Field(0.05, gt=0, description="of the softmax over cosines")
    hard_negatives: int = Field(
        1, ge=0, description="products per query that look right and are not: judged bad, else mined by the backbone"
    )
    chunk: int = Field(32, ge=1, description="texts encoded at once; the batch may be far larger than memory allows")
    symmetric: bool = Field(False, description="also let products find their query")


class CalibrationConfig(Section):
    """How scores become probabilities, fitted on the validation split."""

    method: Literal["none", "temperature", "isotonic"] = "none"


class RunConfig(Section):
    """What every training stage has."""

    name: str = Field("shop-ranker", description="of the bundle")
    run: str | None = Field(None, description="the same run again resumes it; absent: a new unique one")
    shop: str = Field(..., description="folder of a prepared shop")
    split: SplitConfig = SplitConfig()
    text: TextConfig = TextConfig()
    backbone: BackboneConfig = BackboneConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    launch: LaunchConfig = LaunchConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()


class RepeatConfig(Section):
    """The same training several times, each a run of its own that is tested: one number alone says little."""

    folds: tuple[int, ...] = Field((), strict=False, description="folds that test in turn; absent: split.fold alone")
    seeds: tuple[int, ...] = Field((), strict=False, description="of each fold; absent: train.seed alone")
    task: HeadTask | None = Field(None, description="what the first head is tested against; absent: its own task")
    clicks: ClickConfig | None = Field(None, description="how tested clicks are counted; absent: as in training")


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
    repeat: RepeatConfig = RepeatConfig()

    @property
    def tasks(self) -> tuple[HeadTask, ...]:
        """Names of all heads, the main one first."""
        return (self.task, *(name for name in self.auxiliary if name != self.task))

    @model_validator(mode="after")
    def _lists_to_compare(self) -> "FinetuneConfig":
        if self.train.list_size == 1 and any(self.loss.weights().get(name) for name in LISTWISE_LOSSES):
            raise ValueError(
                f"{', '.join(LISTWISE_LOSSES)} compare products of one query: set train.list_size to 2 or more"
            )
        return self


class SequenceConfig(Section):
    """The self-attentive model of what comes after what."""

    hidden_size: int = Field(64, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1, description="of attention")
    dropout: float = Field(0.5, ge=0, lt=1)
    max_items: int = Field(50, ge=1, description="newest items of a history that are read")
    use_ids: bool = Field(True, description="a learned vector per product")
    use_text: bool = Field(True, description="a projection of the frozen vector of a product's text")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    negatives: int = Field(0, ge=0, description="products drawn for the softmax of a batch; 0: the whole catalogue")

    @model_validator(mode="after")
    def _some_vector(self) -> "SequenceConfig":
        if not (self.use_ids or self.use_text):
            raise ValueError("use_ids and use_text are both false: a product needs a vector")
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.negatives and self.label_smoothing:
            raise ValueError("label_smoothing is over the whole catalogue: set it or negatives")
        return self


class TransitionConfig(Section):
    """Counts of what was taken after what, beside the model: score = logit + weight * log(count + 0.1)."""

    window: int = Field(10, ge=0, description="steps from one item to another that still count; 0: no counts")
    step_decay: float = Field(0.7, gt=0, le=1, description="what each further step between two items counts")
    reverse: float = Field(0.1, ge=0, le=1, description="what the opposite order counts")
    history_decay: float = Field(0.3, gt=0, le=1, description="what each older item of a history counts")
    text_neighbours: int = Field(0, ge=0, description="products of the most similar text that count as if seen next")
    text_weight: float = Field(3.0, ge=0, description="counts that a neighbour of equal text stands for")
    weight: float | None = Field(None, ge=0, description="of a count's log; absent: fitted on the validation split")


class ItemOptimizerConfig(OptimizerConfig):
    """AdamW for item vectors, which begin as noise: they learn faster than a language model would."""

    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)


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


TextSource = Literal["products", "reviews", "pairs", "queries", "histories", "sessions"]
ALL_SOURCES: tuple[TextSource, ...] = ("products", "reviews", "pairs", "queries", "histories", "sessions")


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


class EvaluateConfig(Section):
    """`planogram evaluate`: score a split of a shop with a bundle and report the metrics."""

    bundle: str = Field(..., description="registry reference (name@alias, name:version) or the folder of a bundle")
    shop: str = Field(..., description="folder of a prepared shop")
    part: Literal["train", "valid", "test", "all"] = "test"
    task: HeadTask | None = Field(None, description="what the first head is measured against; absent: its own task")
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    clicks: ClickConfig | None = Field(None, description="how clicks are counted; absent: as the bundle was trained")
    k: int = Field(10, ge=1, description="cut of NDCG, MRR and recall")
    batch_tokens: int = Field(4096, ge=128)
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % intervals; 0: none")
    seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    cluster: ClusterConfig = ClusterConfig()


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
    launch: LaunchConfig = LaunchConfig()
    cluster: ClusterConfig = ClusterConfig()
    port: int = Field(8000, ge=1, le=65535)


def load_finetune(path: str | None = None, overrides: Sequence[str] = ()) -> FinetuneConfig | NextItemConfig:
    """Read the section of `planogram finetune`, which depends on its `task`.

    Raises:
        ConfigError: the task does not exist; or as `load`.
    """
    values = values_of(path, overrides)
    task = values.get("task", FinetuneConfig.model_fields["task"].default)
    if task == "next_item":
        return parse(NextItemConfig, values, path or "the command line")
    if task not in get_args(HeadTask):
        raise ConfigError(
            f"task {task!r} does not exist", allowed=", ".join([*get_args(HeadTask), "next_item"]), remedy="choose one"
        )
    return parse(FinetuneConfig, values, path or "the command line")
