"""Cross-encoders with one head per task: the learning of grades, clicks, purchases, sentiment and likeness."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from planogram import storage
from planogram.config import FinetuneConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples import TASKS, Examples, load
from planogram.data.features import FeatureSpec, fit_features
from planogram.data.sampler import list_batches
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.base import calibrated, sigmoid
from planogram.errors import TrainingError
from planogram.evaluate.heads import fit_calibration, head_metrics, with_cutoffs
from planogram.models.adalora import regularizer
from planogram.models.heads import CrossEncoder, Tower, TrainedScorer, parameter_groups
from planogram.models.losses import weighted_loss
from planogram.registry.bundle import WEIGHTS, BundleManifest, Head
from planogram.tasks.backbones import (
    adapter_ref,
    bundle_weights,
    copy_backbone_files,
    pad_id,
    prepare_backbone,
    source,
    training_backbone,
)
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEATURES = "features.json"
STARTS = "heads.json"
# Training pairs from which a head's start is fitted.
START_SAMPLE = 512
# Of the fitted slope, at most; and never a flatter one, which would have little gradient to learn from.
SLOPES = (1.0, 4.0)
Outputs = npt.NDArray[np.float32]


class ScoringStage:
    """Fine-tunes a cross-encoder."""

    name = "finetune"

    def prepare(self, config: FinetuneConfig, folder: Path) -> None:
        """The backbone, its tokenizer, and the scales of features; loaded once for all workers."""
        model, tokenizer = prepare_backbone(config, folder)
        starts = {name: _start(config, name, model, tokenizer) for name in config.tasks}
        storage.write_json(str(folder / STARTS), starts)
        if config.tower.features:
            rows = load(config.task, source(config, "train")).features
            spec = fit_features(rows, config.tower.features, config.tower.categories)
            storage.write_json(str(folder / FEATURES), spec.model_dump(mode="json"))

    def task(self, config: FinetuneConfig, context: TrainContext, initial: Path) -> "ScoringTask":
        """One worker's data, model and loss."""
        return ScoringTask(config, context, initial)

    def manifest(self, config: FinetuneConfig, trained: Trained) -> BundleManifest:
        """The manifest, with calibration and cutoffs fitted on the validation split."""
        parts = validation_parts(config)
        heads: list[Head] = []
        metrics: dict[str, float] = {}
        for column, (name, (examples, rows)) in enumerate(parts.items()):
            head = _plain_head(config, name)
            logits = trained.outputs[rows, column]
            targets = scaled(examples.grades, head)
            fitted = head.model_copy(
                update={"calibration": fit_calibration(config.calibration.method, targets, logits)}
            )
            fitted = with_cutoffs(fitted, TASKS[name], examples, calibrated(fitted.calibration, logits))
            heads.append(fitted)
            found = head_metrics(fitted, TASKS[name], examples, calibrated(fitted.calibration, logits))
            metrics |= found if column == 0 else {f"{name}.{key}": value for key, value in found.items()}
        spec = read_features(trained.initial)
        return BundleManifest(
            name=config.name,
            heads=tuple(heads),
            backbone=config.backbone.name,
            pooling=config.backbone.pooling,
            text_fields=config.text.fields,
            text_language=config.text.language,
            max_tokens=config.text.max_tokens,
            pad_id=pad_id(trained.initial),
            features=spec,
            tower_size=config.tower.hidden_size if spec.width else 0,
            adapter=adapter_ref(config, trained.initial),
            metrics=metrics,
            lineage=trained.lineage,
        )

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
        self.heads = [_plain_head(config, name) for name in config.tasks]
        self.model = _initial_model(initial, config, self.features)
        tokenizer = PairTokenizer.from_folder(initial, config.text.max_tokens)
        self.training = _Joined({name: load(name, source(config, "train")) for name in config.tasks})
        self.validation_parts = validation_parts(config)
        self.validation = _Joined({name: examples for name, (examples, _) in self.validation_parts.items()})
        self.training_tokens = self._encode(tokenizer, self.training)
        self.validation_tokens = self._encode(tokenizer, self.validation)

    def _encode(self, tokenizer: PairTokenizer, joined: "_Joined") -> Tokens:
        tokens = tokenizer.encode(joined.pairs)
        if not self.features.width:
            return tokens
        arrays = [self.features.transform(examples.features) for examples in joined.parts.values()]
        return Tokens(tokens.input_ids, tokens.token_type_ids, tokens.truncated, np.concatenate(arrays))

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
        logits = self._logits(engine, self.training_tokens, positions, shown)
        losses = [
            self._task_loss(column, logits, positions)
            for column in range(len(self.heads))
            if (self.training.heads[positions] == column).any()
        ]
        return torch.stack(losses).sum() + regularizer(self.model.scorer.backbone)

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
        return self._logits(engine, self.validation_tokens, positions, None).float().cpu()

    def _logits(self, engine: TrainEngine, tokens: Tokens, positions: Positions, shown: Tensor | None) -> Tensor:
        batch = collate(tokens.take(positions), self.pad_id)
        inputs = [None if array is None else self._tensor(array) for array in batch]
        return engine.forward(*inputs, positions=shown)

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
        self.grades = np.concatenate([part.grades for part in examples])
        self.weights = np.concatenate([_mean_one(part.weights) for part in examples])
        self.positions = np.concatenate([part.positions for part in examples])
        self.heads = np.concatenate([np.full(len(part), column) for column, part in enumerate(examples)])
        offsets = np.cumsum([0, *(int(part.groups.max()) + 1 for part in examples)])
        self.groups = np.concatenate([part.groups + offset for part, offset in zip(examples, offsets, strict=False)])


def _mean_one(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return weights / weights.mean()


@torch.inference_mode()
def _start(config: FinetuneConfig, task: str, backbone: "PreTrainedModel", tokenizer: Tokenizer) -> dict[str, float]:
    """Scale and shift of a head's first logits, so that training starts at the rates of its targets.

    A bias moves by the learning rate in a step: left at zero, it would need thousands of steps to say that a tenth of
    all pairs match, and the rest of the model would learn to say it instead.
    """
    examples = load(task, source(config, "train"))
    head = _plain_head(config, task)
    rows = np.random.default_rng(config.train.seed).permutation(len(examples))[:START_SAMPLE]
    targets = scaled(examples.grades[rows], head)
    if config.backbone.pooling != "pair":
        mean = float(np.clip(targets.mean(), 0.01, 0.99))
        return {"scale": 1.0, "shift": float(np.log(mean / (1 - mean)))}
    model = CrossEncoder(backbone, [task], "pair", 0.0).eval()
    tokens = PairTokenizer(tokenizer, config.text.max_tokens).encode([examples.pairs[row] for row in rows])
    logits = np.zeros(len(rows), dtype=np.float32)
    for batch in token_batches(tokens.lengths, config.train.eval_batch_tokens):
        arrays = collate(tokens.take(batch))[:3]
        logits[batch] = model(*(torch.from_numpy(array) for array in arrays))[:, 0].float().numpy()
    fitted = fit_calibration("temperature", targets, logits)
    scale = float(np.clip(fitted.scale, *SLOPES))
    # The shift that keeps the fitted line at the mean logit, whatever became of its slope.
    return {"scale": scale, "shift": float(fitted.shift + (fitted.scale - scale) * logits.mean())}


def validation_parts(config: FinetuneConfig) -> dict[str, tuple[Examples, slice]]:
    """The validation examples of every task, and their rows among all of them."""
    found: dict[str, tuple[Examples, slice]] = {}
    start = 0
    for name in config.tasks:
        examples = load(name, source(config, "valid"))
        found[name] = examples, slice(start, start + len(examples))
        start += len(examples)
    return found


def _plain_head(config: FinetuneConfig, task: str) -> Head:
    """The head before anything is fitted; its scale comes from all the grades there are."""
    grades = load(task, source(config, "all")).grades
    low, high = float(grades.min()), float(grades.max())
    if low == high:
        raise TrainingError(
            f"every example of {task} in {config.shop} has the target {low}", remedy="bring examples that differ"
        )
    return Head(name=task, low=low, high=high) if task in ("relevance", "sentiment") else Head(name=task)


def scaled(grades: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    """Grades on the scale of scores, 0..1."""
    return (grades - head.low) / (head.high - head.low)


def read_features(initial: Path) -> FeatureSpec:
    """The scales of features that `prepare` fitted; empty where there are none."""
    path = initial / FEATURES
    return FeatureSpec.model_validate(storage.read_json(str(path))) if path.is_file() else FeatureSpec()


def _initial_model(folder: Path, config: FinetuneConfig, features: FeatureSpec) -> TrainedScorer:
    torch.manual_seed(config.train.seed)
    backbone = training_backbone(config, folder)
    dropout = config.backbone.dropout
    tower = Tower(features.width, config.tower.hidden_size, config.tower.dropout) if features.width else None
    scorer = CrossEncoder(backbone, config.tasks, config.backbone.pooling, dropout, tower)
    starts = storage.read_json(str(folder / STARTS))
    scorer.start_at([(starts[name]["scale"], starts[name]["shift"]) for name in config.tasks])
    positions = 0
    if config.clicks.debias == "position_feature":
        positions = int(load("click", source(config, "train")).positions.max())
    return TrainedScorer(scorer, positions, uncertainty=config.weighting == "uncertainty")
