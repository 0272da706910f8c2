"""The sections of a training run: optimizer, loop, workers, tracking, repetition."""

from typing import Literal

from pydantic import Field, model_validator

from planogram.config.data import ClickConfig, HeadTask, SplitConfig, TextConfig
from planogram.config.model import BackboneConfig
from planogram.section import Section


class ClusterConfig(Section):
    """Which Ray cluster to use."""

    address: str | None = Field(None, description="ray://… or host:port; absent: RAY_ADDRESS, else a local cluster")
    num_cpus: int | None = Field(None, ge=1, description="CPUs of the local cluster; absent: all of this machine")
    show_worker_output: bool = Field(False, description="print what workers print; it stands in Ray's logs anyway")


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
    gpu_share: float = Field(
        1.0, gt=0, le=1, description="of a GPU, for a single worker with `gpu`: several trials of a campaign share one"
    )
    max_failures: int = Field(3, ge=0, description="restarts from the last whole checkpoint")

    @model_validator(mode="after")
    def _one_worker_shares(self) -> "LaunchConfig":
        if self.gpu_share < 1 and (not self.gpu or self.workers > 1):
            raise ValueError("gpu_share is for a single worker with gpu: NCCL wants a GPU for each of several")
        return self


class TrackingConfig(Section):
    """Where runs are recorded."""

    experiment: str = "planogram"
    uri: str | None = Field(
        None, description="MLflow tracking server; absent: MLFLOW_TRACKING_URI, else SQLite under PLANOGRAM_HOME"
    )


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


class ItemOptimizerConfig(OptimizerConfig):
    """AdamW for item vectors, which begin as noise: they learn faster than a language model would."""

    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
