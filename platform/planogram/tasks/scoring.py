"""Cross-encoders with one head per task: the learning of grades, clicks, purchases, sentiment and likeness."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from planogram import storage
from planogram.config import AdapterConfig, FinetuneConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples import TASKS, Examples, load
from planogram.data.match import encode
from planogram.data.sampler import list_batches
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.base import calibrated, sigmoid
from planogram.evaluate.heads import fit_calibration, head_metrics, with_cutoffs
from planogram.models.adalora import regularizer
from planogram.models.heads import parameter_groups
from planogram.models.losses import weighted_loss
from planogram.registry.bundle import WEIGHTS, BundleManifest, Head
from planogram.tasks.backbones import (
    bundle_weights,
    copy_backbone_files,
    keeps_adapter,
    manifest_of,
    pad_id,
    prepare_backbone,
    source,
)
from planogram.tasks.scorers import (
    FEATURES,
    STARTS,
    Outputs,
    fitted_features,
    fitted_start,
    initial_model,
    plain_head,
    predicted_logits,
    read_features,
    scaled,
)
from planogram.tasks.teaching import Teacher, prepare_heads, prepare_unlabelled, unlabelled
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained


class ScoringStage:
    """Fine-tunes a cross-encoder."""

    name = "finetune"

    def prepare(self, config: FinetuneConfig, folder: Path) -> None:
        """The backbone, its tokenizer, and the scales of features; loaded once for all workers."""
        model, tokenizer = prepare_backbone(config, folder)
        starts = {name: fitted_start(config, name, model, tokenizer) for name in config.tasks}
        storage.write_json(str(folder / STARTS), starts)
        if config.tower.features or config.tower.match:
            spec = fitted_features(config, PairTokenizer(tokenizer, config.text.max_tokens))
            storage.write_json(str(folder / FEATURES), spec.model_dump(mode="json"))
        if config.distill.teacher:
            prepare_heads(config, folder)
            if config.distill.unlabelled:
                training = source(config, "train")
                prepare_unlabelled(config, training, load(config.task, training), folder)

    def task(self, config: FinetuneConfig, context: TrainContext, initial: Path) -> "ScoringTask":
        """One worker's data, model and loss."""
        return ScoringTask(config, context, initial)

    def manifest(self, config: FinetuneConfig, trained: Trained) -> BundleManifest:
        """The manifest, with calibration and cutoffs fitted on the validation split."""
        parts = validation_parts(config)
        outputs = _bundle_outputs(config, trained)
        heads: list[Head] = []
        metrics: dict[str, float] = {}
        for column, (name, (examples, rows)) in enumerate(parts.items()):
            head = plain_head(config, name)
            logits = outputs[rows, column]
            targets = scaled(examples.grades, head)
            fitted = head.model_copy(
                update={"calibration": fit_calibration(config.calibration.method, targets, logits)}
            )
            fitted = with_cutoffs(fitted, TASKS[name], examples, calibrated(fitted.calibration, logits))
            heads.append(fitted)
            found = head_metrics(fitted, TASKS[name], examples, calibrated(fitted.calibration, logits))
            metrics |= found if column == 0 else {f"{name}.{key}": value for key, value in found.items()}
        features = read_features(trained.initial)
        season = config.text.season
        return manifest_of(config, trained, features, heads=tuple(heads), text_season=season, metrics=metrics)

    def fill(self, config: FinetuneConfig, trained: Trained, folder: Path) -> None:
        """Weights, architecture and tokenizer."""
        save_file(bundle_weights(config, trained), folder / WEIGHTS)
        copy_backbone_files(trained.initial, folder)


class ScoringTask:
    """Targets of texts, learned by a cross-encoder with one head per task."""

    def __init__(self, config: FinetuneConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.device = context.device
        self.world_size = context.world_size
        self.metric = TASKS[config.task].metric
        self.features = read_features(initial)
        self.pad_id = pad_id(initial)
        self.task_weights = [1.0, *(config.auxiliary[name] for name in config.tasks[1:])]
        self.heads = [plain_head(config, name) for name in config.tasks]
        self.model = initial_model(initial, config, self.features)
        tokenizer = PairTokenizer.from_folder(initial, config.text.max_tokens)
        reads = (tokenizer, self.features)
        teaches = config.distill.teacher is not None
        self.teacher = Teacher(config.distill, self.model.scorer, reads, self.device) if teaches else None
        self.training = _Joined(training_parts(config, self.heads[0], initial))
        self.validation_parts = validation_parts(config)
        self.validation = _Joined({name: examples for name, (examples, _) in self.validation_parts.items()})
        self.training_tokens = encode(tokenizer, self.features, self.training.pairs, self.training.features)
        self.validation_tokens = encode(tokenizer, self.features, self.validation.pairs, self.validation.features)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Lists of one group's examples, of similar length."""
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
        """The configured sum of losses of every task in the batch, float32."""
        shown = self._tensor(self.training.positions[positions])
        inputs = self._inputs(self.training_tokens, positions)
        logits = engine.forward(*inputs, positions=shown)
        losses = [
            self._task_loss(column, logits, positions)
            for column in range(len(self.heads))
            if (self.training.heads[positions] == column).any()
        ]
        own = torch.stack(losses).sum() + regularizer(self.model.scorer.backbone)
        if self.teacher is None:
            return own
        # A teacher in float32 beside a student in bfloat16 would take most of a step.
        with engine.autocast():
            wanted = self.teacher.logits(inputs)
        return self.config.distill.labels * own + self.teacher.loss(logits, wanted, inputs[1])

    def _task_loss(self, column: int, logits: Tensor, positions: Positions) -> Tensor:
        rows = np.flatnonzero(self.training.heads[positions] == column)
        mine = positions[rows]
        settings = self.config.loss
        loss = weighted_loss(
            settings.weights(),
            logits[rows, column],
            self._tensor(scaled(self.training.grades[mine], self.heads[column]).astype(np.float32)),
            self._tensor(self.training.groups[mine]),
            self._tensor(self.training.weights[mine].astype(np.float32)),
            label_smoothing=settings.label_smoothing,
            focal_gamma=settings.focal_gamma,
        )
        if self.model.log_variances is not None:
            variance = self.model.log_variances[column]
            return torch.exp(-variance) * loss + variance / 2
        return self.task_weights[column] * loss

    def validation_batches(self) -> list[Positions]:
        """Validation examples of similar length."""
        return token_batches(self.validation_tokens.lengths, self.config.train.eval_batch_tokens)

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Logits (batch, heads) float32 on the CPU."""
        return engine.forward(*self._inputs(self.validation_tokens, positions), positions=None).float().cpu()

    def _inputs(self, tokens: Tokens, positions: Positions) -> list[Tensor | None]:
        batch = collate(tokens.take(positions), self.pad_id)
        return [None if array is None else self._tensor(array) for array in batch]

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def validate(self, outputs: Outputs) -> dict[str, float]:
        """Metrics of every head, those of auxiliary ones under their name.

        Cutoffs are fitted on the same examples and so flatter a little.
        """
        metrics: dict[str, float] = {}
        for column, (name, (examples, rows)) in enumerate(self.validation_parts.items()):
            scores = sigmoid(outputs[rows, column])
            head = with_cutoffs(self.heads[column], TASKS[name], examples, scores)
            found = head_metrics(head, TASKS[name], examples, scores)
            metrics |= found if column == 0 else {f"{name}.{key}": value for key, value in found.items()}
        return metrics


class _Joined:
    """The examples of several tasks in one row of arrays; groups stay apart."""

    def __init__(self, parts: dict[str, Examples]) -> None:
        self.parts = parts
        examples = list(parts.values())
        self.pairs = [pair for part in examples for pair in part.pairs]
        self.features = pd.concat([part.features for part in examples], ignore_index=True)
        self.grades = np.concatenate([part.grades for part in examples])
        self.weights = np.concatenate([_mean_one(part.weights) for part in examples])
        self.positions = np.concatenate([part.positions for part in examples])
        self.heads = np.concatenate([np.full(len(part), column) for column, part in enumerate(examples)])
        offsets = np.cumsum([0, *(int(part.groups.max()) + 1 for part in examples)])
        self.groups = np.concatenate([part.groups + offset for part, offset in zip(examples, offsets, strict=False)])


def _mean_one(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return weights / weights.mean()


def _bundle_outputs(config: FinetuneConfig, trained: Trained) -> Outputs:
    """Logits (validation examples, heads) of what the bundle holds.

    An adapter that was trained on a quantized base scores a little differently when it is merged into the float one.
    """
    if config.adapter.base == "fp32" or keeps_adapter(config):
        return trained.outputs
    features = read_features(trained.initial)
    plain = config.model_copy(update={"adapter": AdapterConfig()})
    model = initial_model(trained.initial, plain, features).scorer.eval()
    model.load_state_dict(bundle_weights(config, trained))
    joined = _Joined({name: examples for name, (examples, _) in validation_parts(config).items()})
    tokenizer = PairTokenizer.from_folder(trained.initial, config.text.max_tokens)
    tokens = encode(tokenizer, features, joined.pairs, joined.features)
    return predicted_logits(model, tokens, config.train.eval_batch_tokens, pad_id(trained.initial))


def training_parts(config: FinetuneConfig, head: Head, initial: Path) -> dict[str, Examples]:
    """The training examples of every task, with what a teacher graded."""
    parts: dict[str, Examples] = {name: load(name, source(config, "train")) for name in config.tasks}
    more = unlabelled(initial, parts[config.task], head)
    return parts if more is None else {config.task: parts[config.task].extended(more)}


def validation_parts(config: FinetuneConfig) -> dict[str, tuple[Examples, slice]]:
    """The validation examples of every task, and their rows among all of them."""
    found: dict[str, tuple[Examples, slice]] = {}
    start = 0
    for name in config.tasks:
        examples = load(name, source(config, "valid"))
        found[name] = examples, slice(start, start + len(examples))
        start += len(examples)
    return found
