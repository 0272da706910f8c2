"""The sections of compression: which engines, how they are quantized, and how far they may be off."""

from typing import Annotated, Literal

from pydantic import Field

from planogram.config.data import SplitConfig
from planogram.config.training import ClusterConfig, LaunchConfig, OptimizerConfig, TrainConfig
from planogram.section import Names, Section

EngineName = Literal[
    "torch-fp32",
    "torch-bf16",
    "torch-int8",
    "torch-nf4",
    "openvino-fp32",
    "openvino-bf16",
    "openvino-int8",
    "openvino-int8-bf16",
]
ExportName = Literal["openvino-fp32", "openvino-int8"]
#: engine -> the export that it runs; `…-bf16` computes in bfloat16 what the export has in float32
EXPORTS: dict[EngineName, ExportName] = {
    "openvino-fp32": "openvino-fp32",
    "openvino-bf16": "openvino-fp32",
    "openvino-int8": "openvino-int8",
    "openvino-int8-bf16": "openvino-int8",
}
TorchName = Literal["torch-fp32", "torch-bf16", "torch-int8", "torch-nf4"]
Importance = Literal["taylor", "wanda", "magnitude"]
Smoothing = Annotated[float, Field(ge=0, le=1)]
Shape = Annotated[str, Field(pattern=r"^[1-9][0-9]*x[1-9][0-9]*$")]


class PruneConfig(Section):
    """Structured pruning: what is removed is gone from the matrices, so that every engine gains."""

    layers: int | None = Field(None, ge=1, description="that stay; absent: all")
    flops: float = Field(1.0, gt=0, le=1, description="share of the backbone's multiplications that stays")
    importance: Importance = Field(
        "taylor", description="of heads and neurons; `wanda` needs no labels, `magnitude` no texts either"
    )
    tokens: int = Field(64, ge=1, description="length of a pair, for the count of multiplications")
    pairs: int = Field(1024, ge=1, description="of the training part, by which importance is measured")


class DistillConfig(Section):
    """A student learns to score, and to see, like its teacher: mostly a smaller backbone like the bundle it is from."""

    teacher: str | None = Field(None, description="registry reference or folder of a cross-encoder; absent: none")
    labels: float = Field(0.5, ge=0, description="weight of the task's own losses")
    logits: float = Field(1.0, ge=0, description="weight of the squared error of logits (Hinton et al. 2015)")
    hidden: float = Field(0.0, ge=0, description="weight of the squared error of the last hidden states, of one width")
    relations: float = Field(
        1.0, ge=0, description="weight of the query, key and value relations of the last layer (MiniLM v2)"
    )
    unlabelled: int = Field(
        0, ge=0, description="relevance: further products of each training query, the likeliest by their words"
    )


class QuantizeConfig(Section):
    """Post-training quantization to int8."""

    calibration_pairs: int = Field(300, ge=1, description="of the training part, by which activations are ranged")
    smooth_quant: Annotated[tuple[Smoothing, ...], Field(strict=False)] = Field(
        (0.5, 0.7, 0.9),
        min_length=1,
        description="how much of the outliers of activations moves into weights (Xiao et al. 2023); of several, that "
        "by which the calibration pairs' scores move least",
    )
    float_layers: int = Field(
        0, ge=0, description="encoder layers that lose most by int8 and stay in float; each layer is tried by itself"
    )
    full_range: bool = Field(
        False, description="weights of eight bits and not seven: a little closer, but wrong on CPUs without VNNI"
    )


class ToleranceConfig(Section):
    """How far an engine may be off; beyond it, its bundle is not published."""

    max_difference: float = Field(0.25, gt=0, description="of any score from the trained model's")
    mean_difference: float = Field(0.03, gt=0, description="of scores")
    kendall_tau: float = Field(0.95, le=1, description="smallest mean over lists")
    ndcg_loss: float = Field(0.005, ge=0, description="of NDCG@10")


class RecoveryConfig(Section):
    """How a pruned model learns again: from the bundle that it was made of, as that was trained but for these."""

    rounds: int = Field(1, ge=1, description="of pruning and learning, each nearer to the wanted size")
    run: str | None = Field(None, description="of the training; the same run again resumes it; absent: by its content")
    distill: DistillConfig = DistillConfig()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-4)
    train: TrainConfig = TrainConfig(epochs=4)
    launch: LaunchConfig = LaunchConfig()
    cluster: ClusterConfig = ClusterConfig()


class CompressConfig(Section):
    """`planogram compress`: export a bundle to faster engines, and prove that they rank as it does."""

    bundle: str = Field(..., description="registry reference (name@alias, name:version) or the folder of a bundle")
    shop: str = Field(..., description="folder of a prepared shop, by whose text engines are calibrated and compared")
    out: str | None = Field(None, description="new folder of the bundle; absent: below PLANOGRAM_HOME/compressed")
    engines: Annotated[tuple[ExportName, ...], Field(strict=False)] = Field(("openvino-int8",), min_length=1)
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    prune: PruneConfig | None = Field(None, description="absent: the model stays whole")
    recovery: RecoveryConfig = RecoveryConfig()
    vocabulary: Literal["whole", "shop"] = Field(
        "whole", description="`shop`: tokens that no text of the shop uses are removed; new words are spelt with others"
    )
    pairs: int = Field(2000, ge=2, description="held-out pairs that are compared, in whole lists")
    batch_tokens: int = Field(4096, ge=128)
    quantize: QuantizeConfig = QuantizeConfig()
    tolerance: ToleranceConfig = ToleranceConfig()


class BenchmarkEnginesConfig(Section):
    """`planogram benchmark engines`: a bundle on every engine, side by side in one run."""

    name: str = Field("engines", description="of the result below PLANOGRAM_HOME/benchmarks")
    bundle: str = Field(..., description="registry reference or folder of a compressed bundle that is whole")
    smaller: Names = Field((), description="pruned ones of it, as further variants")
    shop: str = Field(..., description="folder of a prepared shop, whose pairs are scored")
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    torch: Annotated[tuple[TorchName, ...], Field(strict=False)] = Field(
        ("torch-fp32",), min_length=1, description="engines that need no export; the first is what tau compares with"
    )
    shapes: Annotated[tuple[Shape, ...], Field(strict=False)] = Field(
        ("32x64", "100x128", "1x32"), min_length=1, description="pairs x tokens of one inference"
    )
    pairs: int = Field(400, ge=2, description="held-out pairs, in whole lists, for quality and for mixed lengths")
    threads: int | None = Field(None, ge=1, description="absent: all cores")
    rounds: int = Field(5, ge=1, description="in which variants take turns; one more warms up")
    repeats: int = Field(3, ge=1, description="inferences of a shape in a round")
    latency_ms: float | None = Field(None, gt=0, description="recommend the best within it, at the first shape")
    ndcg_floor: float | None = Field(None, description="recommend the fastest above it")
