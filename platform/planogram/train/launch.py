"""Starts the training loop: on Ray Train workers, or in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from planogram import storage
from planogram.cluster import worker_environment
from planogram.config import LaunchConfig
from planogram.errors import TrainingError
from planogram.train import progress
from planogram.train.context import TrainContext, local_context, ray_context
from planogram.train.engine import PROCESS_GROUP_TIMEOUT_S
from planogram.train.loop import RESULT

Worker = Callable[[TrainContext], None]
# Every step allocates the same large tensors: glibc is to keep what they free. Given back to the kernel, it is cleared
# and mapped again page by page.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


@dataclass(frozen=True)
class Listener:
    """Whoever hears the validations of the trainings that this thread launches.

    Attributes:
        callbacks: makes the callbacks of Ray Train's driver.
        report: hears a training in this process.
    """

    callbacks: Callable[[], list[Any]]
    report: Callable[[dict[str, float]], None]


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let somebody hear the validations of what is launched while the block runs."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def launch(
    worker: Worker, config: LaunchConfig, run_dir: str, label: str, observe: progress.Observer
) -> dict[str, Any]:
    """Run `worker` on every rank and wait.

    A run that has ended is not run again; one that was interrupted goes on from its newest whole checkpoint. A worker
    that dies is replaced by itself, `config.max_failures` times.

    Args:
        worker: called once per rank; must be picklable.
        config: number of workers and their resources; needs a connected cluster unless `workers` is 0.
        run_dir: folder or URI that all workers reach.
        label: of the progress bar.
        observe: called with the progress every moment.

    Returns:
        What the loop wrote to `result.json`.

    Raises:
        TrainingError: the workers failed more often than allowed.
    """
    result = storage.join(run_dir, RESULT)
    if not storage.exists(result):
        with progress.watch(run_dir, label, observe):
            if config.workers == 0:
                listener = _listener.get()
                worker(local_context(run_dir, listener.report if listener else None))
            else:
                _on_ray(worker, config, run_dir)
    return dict(storage.read_json(result))


def _on_ray(worker: Worker, config: LaunchConfig, run_dir: str) -> None:
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    def train_loop() -> None:
        worker(ray_context(run_dir))

    listener = _listener.get()
    trainer = TorchTrainer(
        train_loop,
        torch_config=TorchConfig(timeout_s=PROCESS_GROUP_TIMEOUT_S),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.workers, use_gpu=config.gpu, resources_per_worker=_resources(config)
        ),
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=run_dir,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            callbacks=listener.callbacks() if listener else None,
            worker_runtime_env={"env_vars": worker_environment(config.cpus_per_worker, config.gpu) | ALLOCATOR},
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise TrainingError(
            f"training failed after {config.max_failures} restarts: {error}",
            remedy="mend the cause above and run the same command again: it goes on from the last checkpoint",
        ) from error


def _resources(config: LaunchConfig) -> dict[str, float]:
    return {"CPU": config.cpus_per_worker, **({"GPU": config.gpu_share} if config.gpu else {})}
