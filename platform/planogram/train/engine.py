"""DeepSpeed around a model: backward, optimizer step, gradient accumulation, ZeRO."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from planogram.config import OptimizerConfig, TrainConfig
from planogram.errors import TrainingError
from planogram.train.context import TrainContext
from planogram.train.schedule import factor

Precision = Literal["fp32", "autocast", "bf16"]
CHECKPOINT_TAG = "state"
PROCESS_GROUP_TIMEOUT_S = 120


class TrainEngine:
    """Trains a model with DeepSpeed.

    Args:
        model: in float32.
        groups: optimizer parameter groups with `lr` and `weight_decay`.
        context: this process.
        train: micro batch, accumulation, ZeRO stage, precision.
        optimizer: schedule and clipping.
        total_steps: optimizer steps of the whole run, for the schedule.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[dict[str, object]],
        context: TrainContext,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        total_steps: int,
    ) -> None:
        deepspeed = _deepspeed(context)
        adam = torch.optim.AdamW(list(groups))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: factor(optimizer.schedule, step, total_steps, optimizer.warmup_share)
        )
        self.module = model
        self._device = context.device
        self._stage = train.zero_stage
        self.precision = resolve_precision(train.precision, context)
        self._total_steps = total_steps
        choose_attention(model, self.precision, context.device)
        self._engine, _, _, _ = deepspeed.initialize(
            model=model.to(context.device),
            optimizer=adam,
            lr_scheduler=schedule,
            config=_deepspeed_config(train, optimizer, context.world_size, self.precision),
        )

    def forward(self, *inputs: Tensor | None, **named: Tensor | None) -> Tensor:
        """The model's output, through DeepSpeed's hooks."""
        return self._engine(*inputs, **named)

    def autocast(self) -> torch.autocast:
        """The precision of `forward`, for a model that does not train."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision != "fp32")

    def train_on(self, loss: Tensor) -> None:
        """Backward, and an optimizer step when a whole accumulation is done.

        A model with a method `before_step(step, total_steps)` is called when all gradients of a step are there.

        Raises:
            TrainingError: the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()}", remedy="lower optimizer.learning_rate or look at the data"
            )
        self._engine.backward(loss)
        if self._engine.is_gradient_accumulation_boundary() and hasattr(self.module, "before_step"):
            self.module.before_step(self._engine.global_steps + 1, self._total_steps)
        self._engine.step()

    def set_training(self, training: bool) -> None:
        """Switch dropout on or off."""
        self._engine.train(training)

    @property
    def learning_rate(self) -> float:
        """Of the first parameter group."""
        return float(self._engine.get_lr()[0])

    def weights(self) -> dict[str, Tensor]:
        """What trains, in float32 on the CPU, on every rank; a collective call where ZeRO partitions it.

        A model with a method `trained_weights()` says itself what that is.
        """
        if self._stage < 3:
            return self._trained()
        import deepspeed

        with deepspeed.zero.GatheredParameters([p for p in self.module.parameters() if p.requires_grad]):
            return self._trained()

    def _trained(self) -> dict[str, Tensor]:
        if hasattr(self.module, "trained_weights"):
            return dict(self.module.trained_weights())
        return {
            name: parameter.detach().float().cpu().clone(memory_format=torch.contiguous_format)
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad
        }

    def save(self, folder: Path) -> None:
        """Write this rank's share of model and optimizer state; every rank calls it."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, save_latest=False)

    def load(self, folder: Path) -> None:
        """Read the state that `save` wrote; the files of all ranks must be in the folder.

        Raises:
            TrainingError: DeepSpeed cannot use them.
        """
        loaded, _ = self._engine.load_checkpoint(str(folder), tag=CHECKPOINT_TAG)
        if loaded is None:
            raise TrainingError(f"{folder} holds no state of this model", remedy="start a new run")


def _deepspeed(context: TrainContext) -> Any:
    """Import DeepSpeed and give it a process group."""
    os.environ.setdefault("DS_ACCELERATOR", context.device.type)
    os.environ.setdefault("LOCAL_SIZE", "1")
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed

    # Only inference calls DeepSpeed's shared-memory reduction; without this a compiler would be needed to train.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not torch.distributed.is_initialized():
        rendezvous = Path(tempfile.mkdtemp(prefix="planogram-rendezvous-")) / "store"
        torch.distributed.init_process_group(
            "nccl" if context.device.type == "cuda" else "gloo",
            init_method=f"file://{rendezvous}",
            rank=0,
            world_size=1,
        )
    deepspeed.init_distributed(dist_backend=torch.distributed.get_backend(), verbose=False)
    return deepspeed


def resolve_precision(asked: Literal["auto", "fp32", "autocast", "bf16"], context: TrainContext) -> Precision:
    """What `auto` means on these workers; a collective call.

    Processors without bfloat16 instructions emulate them about ten times slower than float32.
    """
    if asked != "auto":
        return asked
    return "autocast" if all(context.gather(_multiplies_bf16(context.device))) else "fp32"


def choose_attention(model: nn.Module, precision: Precision, device: torch.device) -> None:
    """Attention as plain matrix products where that trains faster than torch's fused one.

    The fused backward pass is slow in bfloat16 on a CPU: it took a quarter of a step.
    """
    from transformers import PreTrainedModel

    if precision == "fp32" or device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == "sdpa":
            module.set_attn_implementation("eager")


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _deepspeed_config(
    train: TrainConfig, optimizer: OptimizerConfig, world_size: int, precision: Precision
) -> dict[str, Any]:
    return {
        "train_batch_size": train.micro_batch * train.accumulation * world_size,
        "train_micro_batch_size_per_gpu": train.micro_batch,
        "gradient_accumulation_steps": train.accumulation,
        "gradient_clipping": optimizer.clip_norm,
        "bf16": {"enabled": precision == "bf16"},
        "torch_autocast": {"enabled": precision == "autocast", "dtype": "bfloat16"},
        "zero_optimization": {"stage": train.zero_stage, "overlap_comm": False, "contiguous_gradients": True},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }
