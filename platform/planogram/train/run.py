"""A run of any training stage: its folder, its workers, its bundle.

The driver makes the run's folder with the initial weights, workers train from them, and the driver turns the best
weights into a bundle. The same `run` again goes on where it was interrupted.
"""

import uuid
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from planogram import cluster, storage
from planogram.config import RunConfig
from planogram.data.shop import open_shop
from planogram.errors import ConfigError
from planogram.registry.bundle import BundleManifest, write_bundle
from planogram.registry.store import backbone_parent
from planogram.train.checkpoint import BEST_LOGITS, BEST_WEIGHTS, best_folder
from planogram.train.context import TrainContext
from planogram.train.launch import launch
from planogram.train.loop import Task, train
from planogram.train.tracking import track

INITIAL = "initial"
INITIAL_SEAL = "seal.json"
C = TypeVar("C", bound=RunConfig)
C_contra = TypeVar("C_contra", bound=RunConfig, contravariant=True)


@dataclass(frozen=True)
class Trained:
    """What training came to.

    Attributes:
        initial: folder that `Stage.prepare` filled.
        weights: of everything that trained, by name, float32.
        outputs: (validation examples, outputs) of these weights.
        lineage: where the bundle comes from.
    """

    initial: Path
    weights: dict[str, Tensor]
    outputs: npt.NDArray[np.float32]
    lineage: dict[str, Any]


class Stage(Protocol[C_contra]):
    """A kind of model to train. Pickled to the workers, so it holds nothing."""

    name: str

    def prepare(self, config: C_contra, folder: Path) -> None:
        """Write what all workers, and a resumed run, start from."""
        ...

    def task(self, config: C_contra, context: TrainContext, initial: Path) -> Task:
        """One worker's data, model and loss."""
        ...

    def manifest(self, config: C_contra, trained: Trained) -> BundleManifest:
        """The bundle's manifest, with the metrics of the best weights."""
        ...

    def fill(self, config: C_contra, trained: Trained, folder: Path) -> None:
        """Write the bundle's files."""
        ...


def execute(stage: Stage[C], config: C) -> dict[str, Any]:
    """Train and write a bundle.

    Returns:
        `run`, `run_dir`, `bundle` (folder), `metrics` (validation, of the best weights), `steps`, `best_step`,
        `best_metric`, `stopped_early`, `precision`, `trainable_parameters`, `parameters`, `seconds` (of the training
        steps alone), `peak_memory_mb` (of the worker that took most), and `history` (one entry per validation; the
        first is before any training).

    Raises:
        ConfigError: `config.run` exists with another configuration.
        DataError: the shop has no examples.
        TrainingError: training failed more often than `launch.max_failures`.
    """
    config = named(config)
    run_dir = storage.join(storage.home(), "runs", str(config.run))
    _claim(run_dir, config)
    _prepare(stage, config, run_dir)
    connection = cluster.connect(config.cluster) if config.launch.workers else nullcontext()
    with track(config.tracking, str(config.run), config.model_dump()) as tracker, connection:
        label = f"{stage.name} {config.name}"
        result = launch(partial(_work, stage, config), config.launch, run_dir, label, tracker.observe)
        bundle, metrics = _write(stage, config, run_dir, result["best_step"], tracker.run_id)
        tracker.finish(metrics)
    return {"run": config.run, "run_dir": run_dir, "bundle": bundle, "metrics": metrics} | result


def named(config: C) -> C:
    """The configuration with the name of its run and the whole path of its shop."""
    storage.check_name(config.name, "bundle name")
    config = config.model_copy(update={"shop": storage.absolute(config.shop)})
    if config.run:
        storage.check_name(config.run, "run")
        return config
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return config.model_copy(update={"run": f"{config.name[:40]}-{stamp}-{uuid.uuid4().hex[:4]}"})


def _claim(run_dir: str, config: RunConfig) -> None:
    """Write the configuration into a new run's folder, or check that a resumed run has the same."""
    uri = storage.join(run_dir, "config.json")
    # Where a run runs may change between its start and its resumption, what it computes may not.
    asked = config.model_dump(mode="json", exclude={"cluster", "tracking"})
    if not storage.exists(uri):
        storage.write_json(uri, asked)
        return
    known = storage.read_json(uri)
    if differing := [key for key in asked if asked[key] != known.get(key)]:
        raise ConfigError(
            f"run {config.run!r} exists with another {', '.join(differing)}",
            remedy="choose another run name, or give the same configuration to resume it",
        )


def _prepare(stage: Stage[C], config: C, run_dir: str) -> None:
    target = storage.join(run_dir, INITIAL)
    if storage.exists(target):
        return
    torch.manual_seed(config.train.seed)
    with storage.sealed_folder(target, INITIAL_SEAL) as (folder, payload):
        # Kept here, since an alias may point elsewhere when the run ends.
        payload["parent"] = backbone_parent(config.backbone.name)
        stage.prepare(config, folder)


def _work(stage: Stage[C], config: C, context: TrainContext) -> None:
    """One worker's part of the run."""
    torch.set_num_threads(config.launch.cpus_per_worker)
    initial = storage.fetch(storage.join(context.run_dir, INITIAL), INITIAL_SEAL)
    train(context, stage.task(config, context, initial), config.train, config.optimizer)


def _write(stage: Stage[C], config: C, run_dir: str, best_step: int, run_id: str) -> tuple[str, dict[str, float]]:
    """Seal the best weights as a bundle; returns its place and validation metrics."""
    target = storage.join(run_dir, "bundle")
    best = best_folder(run_dir, best_step)
    initial = storage.fetch(storage.join(run_dir, INITIAL), INITIAL_SEAL)
    trained = Trained(
        initial,
        load_file(best / BEST_WEIGHTS),
        load_file(best / BEST_LOGITS)["logits"].numpy(),
        _lineage(stage.name, config, run_id, initial),
    )
    manifest = stage.manifest(config, trained)
    if not storage.exists(target):
        with write_bundle(target, manifest) as folder:
            stage.fill(config, trained, folder)
    return target, manifest.metrics


def _lineage(stage: str, config: RunConfig, run_id: str, initial: Path) -> dict[str, Any]:
    return {
        "stage": stage,
        "run": config.run,
        "tracking_run_id": run_id,
        "data_digest": open_shop(config.shop)["data_digest"],
        "parent": storage.read_json(str(initial / INITIAL_SEAL)).get("parent"),
        "config": config.model_dump(mode="json", exclude={"cluster", "tracking"}),
    }
