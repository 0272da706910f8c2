"""What a shopper takes next: a sequence model beside counts of transitions, over the whole catalogue."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from planogram import storage
from planogram.config import NextItemConfig
from planogram.data.examples.base import Integers
from planogram.data.examples.sequences import Sequences, catalogue, load_sequences, padded
from planogram.engines.sequence import ARCHITECTURE, ITEMS, TABLES
from planogram.errors import DataError
from planogram.evaluate.sequences import next_item_metrics
from planogram.models.heads import parameter_groups
from planogram.models.sequence import NO_TARGET, ItemTables, SequenceModel, blend, log_counts, ranks, without_history
from planogram.registry.bundle import WEIGHTS, BundleManifest
from planogram.tasks.item_tables import item_tables, reads_text
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

# What the log of a count may weigh beside the model's; 0 leaves the model alone.
WEIGHTS_OF_COUNTS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
METRIC = "ndcg@10"
# Histories are batched with others of similar length out of so many batches.
POOL = 16
EVAL_BATCH = 256


class NextItemStage:
    """Fine-tunes a sequence model."""

    name = "finetune"

    def prepare(self, config: NextItemConfig, folder: Path) -> None:
        """The catalogue, vectors of its texts, the counts of transitions, and the initial weights."""
        items = catalogue(config.shop)
        storage.write_json(str(folder / ITEMS), items)
        tables = item_tables(config, items)
        save_file(tables.to_tensors(), folder / TABLES)
        save_file(SequenceModel(config.sequence, tables).state_dict(), folder / WEIGHTS)

    def task(self, config: NextItemConfig, context: TrainContext, initial: Path) -> "NextItemTask":
        """One worker's data, model and loss."""
        return NextItemTask(config, context, initial)

    def manifest(self, config: NextItemConfig, trained: Trained) -> BundleManifest:
        """The manifest, with the metrics of the validation split."""
        return BundleManifest(
            name=config.name,
            kind="sequence",
            backbone=config.backbone.name if reads_text(config) else "none",
            text_fields=config.text.fields,
            text_language=config.text.language,
            max_tokens=config.text.max_tokens,
            metrics=_metrics(config, trained.outputs),
            lineage=trained.lineage,
        )

    def fill(self, config: NextItemConfig, trained: Trained, folder: Path) -> None:
        """Weights, tables, ids of items, and how scores are put together."""
        save_file(trained.weights, folder / WEIGHTS)
        for name in (TABLES, ITEMS):
            shutil.copy(trained.initial / name, folder / name)
        architecture: dict[str, Any] = {
            "sequence": config.sequence.model_dump(mode="json"),
            "history_decay": config.transitions.history_decay,
            "weight": _weight(config, trained.outputs),
            "mask_history": config.mask_history,
            "parts": config.parts,
        }
        storage.write_json(str(folder / ARCHITECTURE), architecture)


class NextItemTask:
    """Every step of every training history, against the catalogue."""

    def __init__(self, config: NextItemConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.device = context.device
        # Validation rows that are learned choose nothing: the last weights are taken.
        self.metric = "step" if config.with_valid else METRIC
        numbers = {item: number for number, item in enumerate(storage.read_json(str(initial / ITEMS)))}
        self.num_items = len(numbers)
        self.training = load_sequences(config.shop, config.split, config.parts, numbers)
        self.validation = load_sequences(config.shop, config.split, ["valid"], numbers)
        self.learned = np.flatnonzero(self.training.lengths > 1)
        if not len(self.learned):
            raise DataError("no history that trains has two items", remedy="check the split, or bring more data")
        tables = ItemTables.from_tensors(load_file(initial / TABLES))
        self.model = SequenceModel(config.sequence, tables, config.transitions.history_decay)
        self.model.load_state_dict(load_file(initial / WEIGHTS))

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rate = self.config.optimizer.learning_rate
        return parameter_groups(self.model, rate, rate, self.config.optimizer.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Histories of similar length, in an order that is random beyond that."""
        size = self.config.train.micro_batch
        generator = np.random.default_rng([self.config.train.seed, epoch])
        order = generator.permutation(self.learned)
        lengths = self.training.lengths
        pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in _sliced(order, POOL * size)]
        batches = [batch for pool in pools for batch in _sliced(pool, size)]
        return [batches[place] for place in generator.permutation(len(batches))]

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Cross-entropy of every new step of the histories, float32."""
        settings = self.config.sequence
        items, targets = _steps(self.training, positions, settings.max_items, self.num_items)
        wanted = targets[targets != NO_TARGET]
        negatives = None
        if settings.negatives:
            negatives = torch.randint(self.num_items, (settings.negatives,)).to(self.device)
            wanted = torch.zeros_like(wanted)
        logits = engine.forward(items.to(self.device), targets.to(self.device), negatives)
        return functional.cross_entropy(
            logits.float(), wanted.to(self.device), label_smoothing=settings.label_smoothing
        )

    def validation_batches(self) -> list[Positions]:
        """Validation histories of similar length."""
        return _sliced(np.argsort(self.validation.lengths, kind="stable"), EVAL_BATCH)

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Ranks (batch, weights of counts) float32 on the CPU: of the target, under each weight."""
        histories = [self.validation.items[place][:-1] for place in positions]
        targets = torch.from_numpy(self.validation.targets[positions]).to(self.device)
        items = self._padded(histories, self.config.sequence.max_items)
        logits, logs = engine.forward(items), log_counts(self.model.transition_counts(items))
        found = []
        for weight in weights_of_counts(self.config):
            scores = blend(logits, logs, weight)
            if self.config.mask_history:
                scores = without_history(scores, self._padded(histories))
            found.append(ranks(scores, targets))
        return torch.stack(found, dim=1).cpu()

    def _padded(self, histories: Sequence[Integers], max_items: int | None = None) -> Tensor:
        return torch.from_numpy(padded(histories, self.num_items, max_items)).to(self.device)

    def validate(self, outputs: npt.NDArray[np.float32]) -> dict[str, float]:
        """Metrics under the weight of counts that is best for them, which flatters a little."""
        return _metrics(self.config, outputs)


def refitted(config: NextItemConfig, chosen: dict[str, Any]) -> NextItemConfig:
    """The configuration of the final fit on training and validation rows.

    Args:
        config: of the first training.
        chosen: what `execute` returned for it.
    """
    steps = [entry["step"] for entry in chosen["history"]]
    per_epoch = config.train.validations_per_epoch
    epochs = max(1, -(-steps.index(chosen["best_step"]) // per_epoch))
    train = config.train.model_copy(update={"epochs": epochs, "max_steps": None, "select_by": None})
    transitions = config.transitions.model_copy(update={"weight": chosen["metrics"]["weight_of_counts"]})
    changes = {"run": f"{chosen['run']}-refit", "refit": False, "with_valid": True}
    return config.model_copy(update={**changes, "train": train, "transitions": transitions})


def weights_of_counts(config: NextItemConfig) -> tuple[float, ...]:
    """The weights to choose from; the columns of a prediction.

    Validation rows that train are counted too, so that the counts would know every answer: the model stands alone.
    """
    if config.with_valid or not config.transitions.window:
        return (0.0,)
    return WEIGHTS_OF_COUNTS if config.transitions.weight is None else (config.transitions.weight,)


def _best(outputs: npt.NDArray[np.float32]) -> int:
    """The column of the weight under which ranks are best."""
    return int(np.argmax([next_item_metrics(column)[METRIC] for column in outputs.T]))


def _weight(config: NextItemConfig, outputs: npt.NDArray[np.float32]) -> float:
    """The weight of counts in the bundle."""
    if config.with_valid:
        return config.transitions.weight or 0.0
    return weights_of_counts(config)[_best(outputs)]


def _metrics(config: NextItemConfig, outputs: npt.NDArray[np.float32]) -> dict[str, float]:
    column = _best(outputs)
    found = {f"{_prefix(config)}{name}": value for name, value in next_item_metrics(outputs[:, column]).items()}
    return found | {"weight_of_counts": _weight(config, outputs)}


def _prefix(config: NextItemConfig) -> str:
    return "seen." if config.with_valid else ""


def _sliced(positions: Positions, size: int) -> list[Positions]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def _steps(sequences: Sequences, positions: Positions, max_items: int, pad: int) -> tuple[Tensor, Tensor]:
    """Items (batch, length) and what came after each; NO_TARGET where an earlier row of the shopper has learned it."""
    rows = [sequences.items[place] for place in positions]
    items = padded([row[:-1] for row in rows], pad, max_items)
    after = padded([row[1:] for row in rows], NO_TARGET, max_items)
    # Places of a row, counted from its end.
    ages = np.arange(after.shape[1])[::-1]
    new = sequences.lengths[positions] - sequences.first[positions]
    after[ages >= new[:, None]] = NO_TARGET
    return torch.from_numpy(items), torch.from_numpy(after)
