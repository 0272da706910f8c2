"""Who this process is in a training run: the same few words under Ray Train and in a single process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed


@dataclass(frozen=True)
class TrainContext:
    """One process of a run.

    Attributes:
        rank: 0 .. world_size - 1; rank 0 writes what is written once.
        device: where the model lives.
        run_dir: folder or URI that all ranks reach.
        report: hands metrics to the launcher; every rank calls it equally often.
    """

    rank: int
    world_size: int
    device: torch.device
    run_dir: str
    report: Callable[[dict[str, float]], None]

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def peak_memory_mb(self) -> float:
        """The most memory of this process so far, MiB: allocated on its GPU, or else resident."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        # The maximum that getrusage gives is inherited from the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10

    def gather(self, value: Any) -> list[Any]:
        """One value per rank, on every rank, in the order of ranks."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def agree(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        return self.gather(value if self.is_first else None)[0]


def ray_context(run_dir: str) -> TrainContext:
    """The context of a Ray Train worker."""
    import ray.train
    from ray.train.torch import get_device

    context = ray.train.get_context()
    # DeepSpeed reads the name that MPI launchers give; Ray sets only its own.
    os.environ["LOCAL_SIZE"] = str(context.get_local_world_size())
    return TrainContext(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=get_device(),
        run_dir=run_dir,
        report=ray.train.report,
    )


def local_context(run_dir: str, report: Callable[[dict[str, float]], None] | None = None) -> TrainContext:
    """The context of a run in this process alone, and who hears its validations."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TrainContext(rank=0, world_size=1, device=device, run_dir=run_dir, report=report or _nobody)


def _nobody(metrics: dict[str, float]) -> None:
    """In a single process nobody waits for a report: `progress.json` and `result.json` say it all."""
