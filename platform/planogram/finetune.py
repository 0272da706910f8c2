"""Fine-tuning: one task on a prepared shop, from a backbone to a bundle.

The driver makes the run's folder with the initial backbone, workers train from it, and the driver turns the best
weights into a bundle. The same `run` again goes on where it was interrupted.
"""

import shutil
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from planogram import cluster, storage
from planogram.config import FinetuneConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples import Examples, relevance_examples, text_columns
from planogram.data.sampler import list_batches
from planogram.data.sources import open_shop, read_table
from planogram.data.text import product_text
from planogram.data.tokenizer import TOKENIZER_FILE, PairTokenizer, load_tokenizer
from planogram.engines.base import activate
from planogram.errors import ConfigError, TrainingError
from planogram.evaluate.metrics import binary_metrics, fit_cutoffs, grade_of, per_query, quadratic_kappa
from planogram.models.backbone import build_backbone, load_backbone, read_architecture
from planogram.models.heads import CrossEncoder, parameter_groups
from planogram.models.losses import weighted_loss
from planogram.registry.bundle import WEIGHTS, BundleManifest, Head, write_bundle
from planogram.train.checkpoint import best_folder
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.launch import launch
from planogram.train.loop import Positions, train
from planogram.train.tracking import track

INITIAL = "initial"
INITIAL_SEAL = "seal.json"
# More grades than this are a continuous scale, which has no cutoffs.
MAX_GRADES = 20


def run(config: FinetuneConfig) -> dict[str, Any]:
    """Fine-tune and write a bundle.

    Returns:
        `run`, `run_dir`, `bundle` (folder), `metrics` (validation, of the best weights), `steps`, `best_step`,
        `stopped_early`, and `history` (one entry per validation; the first is before any training).

    Raises:
        ConfigError: `config.run` exists with another configuration.
        DataError: the shop has no examples.
        TrainingError: training failed more often than `launch.max_failures`.
    """
    config = _named(config)
    run_dir = storage.join(storage.home(), "runs", str(config.run))
    _claim(run_dir, config)
    _make_initial(run_dir, config)
    connection = cluster.connect(config.cluster) if config.launch.workers else nullcontext()
    with track(config.tracking, str(config.run), config.model_dump()) as tracker, connection:
        result = launch(
            partial(_train_relevance, config), config.launch, run_dir, f"fine-tune {config.name}", tracker.observe
        )
        bundle, metrics = _write_bundle(config, run_dir, result["best_step"], tracker.run_id)
        tracker.finish(metrics)
    return {
        "run": config.run,
        "run_dir": run_dir,
        "bundle": bundle,
        "metrics": metrics,
        "steps": result["steps"],
        "best_step": result["best_step"],
        "stopped_early": result["stopped_early"],
        "history": result["history"],
    }


def _named(config: FinetuneConfig) -> FinetuneConfig:
    storage.check_name(config.name, "bundle name")
    config = config.model_copy(update={"shop": storage.absolute(config.shop)})
    if config.run:
        storage.check_name(config.run, "run")
        return config
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return config.model_copy(update={"run": f"{config.name[:40]}-{stamp}-{uuid.uuid4().hex[:4]}"})


def _claim(run_dir: str, config: FinetuneConfig) -> None:
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


def _make_initial(run_dir: str, config: FinetuneConfig) -> None:
    """Load the backbone once and keep it in the run's folder: all workers, and a resumed run, start from the same."""
    target = storage.join(run_dir, INITIAL)
    if storage.exists(target):
        return
    torch.manual_seed(config.train.seed)
    corpus = (product_text(row, config.text.fields) for row in _products(config).to_dict("records"))
    model, tokenizer = load_backbone(config.backbone, corpus, config.text.max_tokens)
    with storage.sealed_folder(target, INITIAL_SEAL) as (folder, _):
        model.config.save_pretrained(folder)
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
        tokenizer.save(str(folder / TOKENIZER_FILE))


def _products(config: FinetuneConfig) -> pd.DataFrame:
    return read_table(config.shop, "products", text_columns(config.text.fields))


def _examples(config: FinetuneConfig, part: str) -> Examples:
    judgments = read_table(config.shop, "judgments")
    return relevance_examples(judgments, _products(config), config.text.fields, config.split, part)


def _grade_range(config: FinetuneConfig) -> tuple[float, float]:
    grades = read_table(config.shop, "judgments", ["grade"])["grade"]
    low, high = float(grades.min()), float(grades.max())
    if low == high:
        raise TrainingError(f"every judgment of {config.shop} has grade {low}", remedy="bring judgments that differ")
    return low, high


def _train_relevance(config: FinetuneConfig, context: TrainContext) -> None:
    """One worker's part of the run."""
    torch.set_num_threads(config.launch.cpus_per_worker)
    train(context, RelevanceTask(config, context), config.train, config.optimizer)


class RelevanceTask:
    """Grades of (query, product) pairs, learned by a cross-encoder with one head."""

    metric = "ndcg@10"

    def __init__(self, config: FinetuneConfig, context: TrainContext) -> None:
        self.config = config
        self.device = context.device
        self.world_size = context.world_size
        folder = storage.fetch(storage.join(context.run_dir, INITIAL), INITIAL_SEAL)
        self.model = _initial_model(folder, config)
        tokenizer = PairTokenizer.from_folder(folder, config.text.max_tokens)
        self.pad_id = _pad_id(folder)
        self.low, self.high = _grade_range(config)
        self.training, self.validation = _examples(config, "train"), _examples(config, "valid")
        self.training_tokens = tokenizer.encode(self.training.pairs)
        self.validation_tokens = tokenizer.encode(self.validation.pairs)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Lists of one query's products, of similar length."""
        settings = self.config.train
        return list_batches(
            self.training.groups,
            np.asarray(self.training_tokens.lengths),
            settings.list_size,
            settings.micro_batch,
            self.world_size,
            np.random.default_rng([settings.seed, epoch]),
        )

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """The configured sum of losses, float32."""
        batch = collate(self.training_tokens.take(positions), self.pad_id)
        logits = engine.forward(*(torch.from_numpy(array).to(self.device) for array in batch))[:, 0]
        targets = (self.training.grades[positions] - self.low) / (self.high - self.low)
        return weighted_loss(
            self.config.loss.weights(),
            logits,
            torch.from_numpy(targets.astype(np.float32)).to(self.device),
            torch.from_numpy(self.training.groups[positions]).to(self.device),
        )

    def validation_batches(self) -> list[Positions]:
        """Validation examples of similar length."""
        return token_batches(self.validation_tokens.lengths, self.config.train.eval_batch_tokens)

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Logits (batch,) float32 on the CPU."""
        batch = collate(self.validation_tokens.take(positions), self.pad_id)
        return engine.forward(*(torch.from_numpy(array).to(self.device) for array in batch))[:, 0].float().cpu()

    def validate(self, logits: npt.NDArray[np.float32]) -> dict[str, float]:
        """NDCG@10 and the loss that classification by cutoffs is fitted on."""
        return grading_metrics(self.validation, logits, self.low, self.high)


def grading_metrics(examples: Examples, logits: npt.NDArray[np.float32], low: float, high: float) -> dict[str, float]:
    """Validation metrics of one head; kappa's cutoffs are fitted on the same examples and so flatter a little.

    Args:
        examples: with grades.
        logits: (examples,).
        low: lowest grade of the shop.
        high: highest grade of the shop.
    """
    scores = torch.from_numpy(logits).sigmoid().numpy()
    ranking = {
        name: float(values.mean()) for name, values in per_query(examples.grades, scores, examples.groups, 10).items()
    }
    binary = binary_metrics(examples.grades > (low + high) / 2, scores)
    levels = np.unique(examples.grades)
    if not 2 <= len(levels) <= MAX_GRADES:
        return {**ranking, **binary}
    predicted = grade_of(scores, fit_cutoffs(examples.grades, scores), levels)
    return {**ranking, "kappa": quadratic_kappa(examples.grades, predicted), **binary}


def _initial_model(folder: Path, config: FinetuneConfig) -> CrossEncoder:
    torch.manual_seed(config.train.seed)
    backbone = build_backbone(read_architecture(folder))
    backbone.load_state_dict(load_file(folder / WEIGHTS))
    return CrossEncoder(backbone, [config.task], config.backbone.pooling, config.backbone.dropout)


def _pad_id(folder: Path) -> int:
    token = storage.read_json(str(folder / "config.json")).get("pad_token_id")
    return int(token or 0)


def _write_bundle(config: FinetuneConfig, run_dir: str, best_step: int, run_id: str) -> tuple[str, dict[str, float]]:
    """Best weights, tokenizer and architecture into a sealed bundle; returns its place and validation metrics."""
    target = storage.join(run_dir, "bundle")
    examples = _examples(config, "valid")
    low, high = _grade_range(config)
    best = best_folder(run_dir, best_step)
    logits = load_file(best / "valid.safetensors")["logits"].numpy()
    metrics = grading_metrics(examples, logits, low, high)
    if storage.exists(target):
        return target, metrics
    initial = storage.fetch(storage.join(run_dir, INITIAL), INITIAL_SEAL)
    head = Head(name=config.task, low=low, high=high)
    manifest = BundleManifest(
        name=config.name,
        heads=(head,),
        backbone=config.backbone.name,
        pooling=config.backbone.pooling,
        text_fields=config.text.fields,
        max_tokens=config.text.max_tokens,
        pad_id=_pad_id(initial),
        metrics=metrics,
        lineage=_lineage(config, run_id),
    )
    graded = activate(manifest, logits[:, None])[:, 0]
    manifest = manifest.model_copy(update={"heads": (_with_cutoffs(head, examples, graded),)})
    with write_bundle(target, manifest) as folder:
        shutil.copy(best / "model.safetensors", folder / WEIGHTS)
        shutil.copy(initial / "config.json", folder / "config.json")
        load_tokenizer(initial).save(str(folder / TOKENIZER_FILE))
    return target, metrics


def _with_cutoffs(head: Head, examples: Examples, scores: npt.NDArray[np.float32]) -> Head:
    levels = np.unique(examples.grades)
    if not 2 <= len(levels) <= MAX_GRADES:
        return head
    return head.model_copy(
        update={"grades": tuple(map(float, levels)), "cutoffs": fit_cutoffs(examples.grades, scores)}
    )


def _lineage(config: FinetuneConfig, run_id: str) -> dict[str, Any]:
    shop = open_shop(config.shop)
    return {
        "stage": "finetune",
        "run": config.run,
        "tracking_run_id": run_id,
        "data_digest": shop["data_digest"],
        "parent": None,
        "config": config.model_dump(mode="json", exclude={"cluster", "tracking"}),
    }
