"""The one training loop. A stage supplies a task: its data, its model and its loss."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from planogram import storage
from planogram.config import OptimizerConfig, TrainConfig
from planogram.errors import ConfigError
from planogram.models.heads import seed_everything
from planogram.models.linears import parameter_counts
from planogram.train import checkpoint
from planogram.train.checkpoint import LoopState
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.progress import ProgressLog

Positions = npt.NDArray[np.int64]
RESULT = "result.json"
LOWER_IS_BETTER = ("log_loss", "calibration_error", "perplexity")


class Task(Protocol):
    """What a stage trains. Positions are indices of its examples."""

    model: nn.Module
    #: name of the validation metric that is maximised
    metric: str

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        ...

    def micro_batches(self, epoch: int) -> list[Positions]:
        """The training examples in micro batches, in an order that depends on seed and epoch alone."""
        ...

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Mean loss of a micro batch, float32."""
        ...

    def validation_batches(self) -> list[Positions]:
        """The validation examples in batches."""
        ...

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Outputs (batch, outputs) float32 on the CPU of validation examples."""
        ...

    def validate(self, logits: npt.NDArray[np.float32]) -> dict[str, float]:
        """Metrics from the outputs (validation examples, outputs) of all validation examples."""
        ...


def train(context: TrainContext, task: Task, config: TrainConfig, optimizer: OptimizerConfig) -> LoopState:
    """Train to the end, early stop or `max_steps`, going on from the newest whole checkpoint of `run_dir`.

    The same seed gives the same weights, also over a resume: the order of examples, dropout and the optimizer's state
    are all restored.

    Returns:
        The final state; rank 0 has also written it to `result.json`, and the best weights below `best/`.
    """
    seed_everything(config.seed, context.rank)
    loop = _Loop(context, task, config, optimizer)
    return loop.run()


class _Loop:
    def __init__(self, context: TrainContext, task: Task, config: TrainConfig, optimizer: OptimizerConfig) -> None:
        self.context, self.task, self.config = context, task, config
        self.micro_steps_per_epoch = _micro_steps(len(task.micro_batches(0)), context.world_size, config.accumulation)
        self.total_steps = config.epochs * self.micro_steps_per_epoch // config.accumulation
        if config.max_steps:
            self.total_steps = min(self.total_steps, config.max_steps)
        # Counted before ZeRO partitions them.
        self.trainable_parameters, self.parameters = parameter_counts(task.model)
        self.engine = TrainEngine(task.model, task.parameter_groups(), context, config, optimizer, self.total_steps)
        self.state = checkpoint.load(context, self.engine) or LoopState()
        self.log = ProgressLog(context, self.total_steps, self.state.step)

    def run(self) -> LoopState:
        if not self.state.history:  # where training starts from belongs to the curve
            self._validate()
        while not self._finished():
            self._epoch()
        result = self._result()
        if self.context.is_first:
            self.log.flush()
            storage.write_json(storage.join(self.context.run_dir, RESULT), result)
        return self.state

    def _result(self) -> dict[str, Any]:
        """What `result.json` says; every rank calls it."""
        peaks = self.context.gather(self._peak_memory_mb())
        return {
            "steps": self.state.step,
            "best_step": self.state.best_step,
            "best_metric": self.state.best_metric,
            "stopped_early": self.state.stopped,
            "precision": self.engine.precision,
            "trainable_parameters": self.trainable_parameters,
            "parameters": self.parameters,
            "seconds": round(self.state.seconds, 3),
            "peak_memory_mb": round(max(peaks), 1),
            "history": self.state.history,
        }

    def _peak_memory_mb(self) -> float:
        """Of this process, and of those that an interruption ended."""
        return max(self.state.peak_memory_mb, self.context.peak_memory_mb)

    def _finished(self) -> bool:
        return self.state.stopped or self.state.step >= self.total_steps

    def _epoch(self) -> None:
        epoch = self.state.epoch
        batches = _shard(self.task.micro_batches(epoch), self.context, self.micro_steps_per_epoch)
        # The last micro step of an epoch validates, and its checkpoint stands at the start of the next epoch.
        while self.state.epoch == epoch and not self._finished():
            self._micro_step(batches[self.state.micro_step])

    def _micro_step(self, positions: Positions) -> None:
        started = time.monotonic()
        loss = self.task.loss(self.engine, positions)
        self.engine.train_on(loss)
        self.state.seconds += time.monotonic() - started
        self.state.micro_step += 1
        if self.state.micro_step % self.config.accumulation:
            return
        self.state.step += 1
        self.log.step(self.state.step, loss.item(), self.engine.learning_rate)
        if self._validation_due():
            self._validate()
            self.state.peak_memory_mb = self._peak_memory_mb()
            checkpoint.save(self.context, self.engine, self._at_next_micro_step())

    def _validation_due(self) -> bool:
        """Evenly spread over an epoch, and always at its end and at the end of the run."""
        steps_per_epoch = self.micro_steps_per_epoch // self.config.accumulation
        step_in_epoch = self.state.micro_step // self.config.accumulation
        count = min(self.config.validations_per_epoch, steps_per_epoch)
        due = {round((index + 1) * steps_per_epoch / count) for index in range(count)}
        return step_in_epoch in due or self.state.step >= self.total_steps

    def _at_next_micro_step(self) -> LoopState:
        """The state to resume from: after the last micro batch of an epoch that is the start of the next."""
        if self.state.micro_step >= self.micro_steps_per_epoch:
            self.state.epoch += 1
            self.state.micro_step = 0
        return self.state

    def _validate(self) -> None:
        started = time.monotonic()
        logits = self._predict_all()
        metrics = self.context.agree(self.task.validate(logits) if self.context.is_first else None)
        entry = {"step": self.state.step, **metrics}
        self.state.history.append(entry)
        metric = _selecting(entry, self.config.select_by or self.task.metric)
        if self.state.best_metric is None or metric > self.state.best_metric:
            self.state.best_metric, self.state.best_step, self.state.worse = metric, self.state.step, 0
            weights = self.engine.weights()
            if self.context.is_first:
                checkpoint.save_best(self.context, self.state.step, weights, torch.from_numpy(logits))
        else:
            self.state.worse += 1
            self.state.stopped = self.state.worse >= self.config.patience
        self.log.validation(self.state.step, metrics, time.monotonic() - started)
        self.context.report({"step": self.state.step, **metrics})

    @torch.no_grad()
    def _predict_all(self) -> npt.NDArray[np.float32]:
        """Outputs (validation examples, outputs) on every rank; each rank predicts its share."""
        batches = self.task.validation_batches()
        mine = _shard(batches, self.context, -(-len(batches) // self.context.world_size))
        self.engine.set_training(False)
        shares = self.context.gather([(rows, self.task.predict(self.engine, rows).numpy()) for rows in mine])
        self.engine.set_training(True)
        found = [item for share in shares for item in share]
        outputs = np.empty((sum(len(rows) for rows in batches), found[0][1].shape[1]), dtype=np.float32)
        for rows, values in found:
            outputs[rows] = values
        return outputs


def _selecting(metrics: dict[str, float], name: str) -> float:
    """The value that the best weights maximise."""
    if name not in metrics:
        raise ConfigError(
            f"train.select_by={name}", allowed=", ".join(metrics), remedy="choose a metric that validation gives"
        )
    return -metrics[name] if name in LOWER_IS_BETTER else metrics[name]


def _micro_steps(num_batches: int, world_size: int, accumulation: int) -> int:
    """Micro steps of one epoch on each rank: enough for every batch, in whole accumulations."""
    per_rank = -(-num_batches // world_size)
    return -(-per_rank // accumulation) * accumulation


def _shard(batches: Sequence[Positions], context: TrainContext, count: int) -> list[Positions]:
    """`count` batches for this rank; neighbours go to different ranks, and the first ones come again to fill up."""
    return [batches[(index * context.world_size + context.rank) % len(batches)] for index in range(count)]
