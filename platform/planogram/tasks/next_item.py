"""What a shopper takes next: a sequence model beside counts of transitions, over the whole catalogue."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from planogram import storage
from planogram.config import NextItemConfig, TextConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.examples.sequences import Sequences, catalogue, count_transitions, load_sequences, padded
from planogram.data.shop import read_table
from planogram.data.tokenizer import PairTokenizer
from planogram.engines.sequence import ARCHITECTURE, ITEMS, TABLES
from planogram.evaluate.sequences import next_item_metrics
from planogram.models.backbone import load_backbone
from planogram.models.heads import parameter_groups
from planogram.models.sequence import NO_TARGET, ItemTables, SequenceModel, blend, ranks, without_history
from planogram.registry.bundle import WEIGHTS, BundleManifest
from planogram.registry.store import backbone_folder
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

# What the log of a count may weigh beside the model's; 0 leaves the model alone.
WEIGHTS_OF_COUNTS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
METRIC = "ndcg@10"
# Histories are batched with others of similar length out of so many batches.
POOL = 16
TEXTS_PER_PASS = 4096
EVAL_BATCH = 256


class NextItemStage:
    """Fine-tunes a sequence model."""

    name = "finetune"

    def prepare(self, config: NextItemConfig, folder: Path) -> None:
        """The catalogue, vectors of its texts, the counts of transitions, and the initial weights."""
        items = catalogue(config.shop)
        storage.write_json(str(folder / ITEMS), items)
        tables = _tables(config, items)
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
            backbone=config.backbone.name if _reads_text(config) else "none",
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
            "parts": training_parts(config),
        }
        storage.write_json(str(folder / ARCHITECTURE), architecture)


class NextItemTask:
    """Every step of every training history, against the catalogue."""

    def __init__(self, config: NextItemConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.device = context.device
        self.metric = f"{_prefix(config)}{METRIC}"
        numbers = {item: number for number, item in enumerate(storage.read_json(str(initial / ITEMS)))}
        self.num_items = len(numbers)
        self.training = load_sequences(config.shop, config.split, training_parts(config), numbers)
        self.validation = load_sequences(config.shop, config.split, ["valid"], numbers)
        self.learned = _learned(self.training)
        tables = ItemTables.from_tensors(load_file(initial / TABLES))
        self.model = SequenceModel(config.sequence, tables, config.transitions.history_decay)
        self.model.load_state_dict(load_file(initial / WEIGHTS))

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Histories of similar length, in an order that is random beyond that."""
        size = self.config.train.micro_batch
        generator = np.random.default_rng([self.config.train.seed, epoch])
        order = generator.permutation(self.learned)
        pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
        lengths = np.array([len(row) for row in self.training.items])
        sorted_pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
        batches = [pool[start : start + size] for pool in sorted_pools for start in range(0, len(pool), size)]
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
        lengths = np.array([len(row) for row in self.validation.items])
        order = np.argsort(lengths, kind="stable")
        return [order[start : start + EVAL_BATCH] for start in range(0, len(order), EVAL_BATCH)]

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Ranks (batch, weights of counts) float32 on the CPU: of the target, under each weight."""
        rows = [self.validation.items[place] for place in positions]
        histories = padded([row[:-1] for row in rows], self.config.sequence.max_items, self.num_items)
        items = torch.from_numpy(histories).to(self.device)
        targets = torch.tensor([row[-1] for row in rows], device=self.device)
        logits, counts = engine.forward(items), self.model.transition_counts(items)
        columns = [self._ranks(blend(logits, counts, w), items, targets) for w in weights_of_counts(self.config)]
        return torch.stack(columns, dim=1).cpu()

    def _ranks(self, scores: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        return ranks(without_history(scores, items) if self.config.mask_history else scores, targets)

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
    # The validation rows are learned: they neither stop this training nor choose anything.
    train = config.train.model_copy(
        update={"epochs": epochs, "patience": epochs * per_epoch + 1, "max_steps": None, "select_by": None}
    )
    transitions = config.transitions.model_copy(update={"weight": chosen["metrics"]["weight_of_counts"]})
    changes = {"run": f"{chosen['run']}-refit", "refit": False, "with_valid": True}
    return config.model_copy(update={**changes, "train": train, "transitions": transitions})


def training_parts(config: NextItemConfig) -> list[str]:
    """The parts of the shop that train."""
    return ["train", "valid"] if config.with_valid else ["train"]


def weights_of_counts(config: NextItemConfig) -> tuple[float, ...]:
    """The weights to choose from; the columns of a prediction.

    Validation rows that train are counted too, so that the counts would know every answer: the model stands alone.
    """
    if config.with_valid or not config.transitions.window:
        return (0.0,)
    return WEIGHTS_OF_COUNTS if config.transitions.weight is None else (config.transitions.weight,)


def _best(outputs: npt.NDArray[np.float32]) -> int:
    """The column of the best ranks."""
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


def _learned(sequences: Sequences) -> Positions:
    """Rows with a step to learn: more than one item."""
    return np.flatnonzero([len(row) > 1 for row in sequences.items]).astype(np.int64)


def _steps(sequences: Sequences, positions: Positions, max_items: int, pad: int) -> tuple[Tensor, Tensor]:
    """Items (batch, length) and what came after each; NO_TARGET where an earlier row of the shopper has learned it."""
    rows = [sequences.items[place] for place in positions]
    items = padded([row[:-1] for row in rows], max_items, pad)
    after = padded([row[1:] for row in rows], max_items, NO_TARGET)
    # Places of a row, counted from its end.
    ages = np.arange(after.shape[1])[::-1]
    new = np.array([len(row) - first for row, first in zip(rows, sequences.first[positions], strict=True)])
    after[ages >= new[:, None]] = NO_TARGET
    return torch.from_numpy(items), torch.from_numpy(after)


def _reads_text(config: NextItemConfig) -> bool:
    return config.sequence.use_text or bool(config.transitions.window and config.transitions.text_neighbours)


def _tables(config: NextItemConfig, items: list[str]) -> ItemTables:
    from scipy.sparse import csr_array

    numbers = {item: number for number, item in enumerate(items)}
    text = _text_vectors(config, items) if _reads_text(config) else torch.zeros(len(items), 0)
    counts = csr_array((len(items), len(items)), dtype=np.float32)
    if config.transitions.window:
        training = load_sequences(config.shop, config.split, training_parts(config), numbers)
        counts = count_transitions(training, len(items), config.transitions)
        if config.transitions.text_neighbours:
            likeness = _text_neighbours(text, config.transitions.text_neighbours)
            counts = counts + config.transitions.text_weight * likeness
    return ItemTables(
        num_items=len(items),
        text=text if config.sequence.use_text else torch.zeros(len(items), 0),
        starts=torch.from_numpy(counts.indptr.astype(np.int64)),
        after=torch.from_numpy(counts.indices.astype(np.int64)),
        counts=torch.from_numpy(counts.data.astype(np.float32)),
    )


@torch.inference_mode()
def _text_vectors(config: NextItemConfig, items: list[str]) -> Tensor:
    """(items, width) unit vectors: means of token states, less what all products share."""
    backbone = config.backbone.model_copy(update={"name": backbone_folder(config.backbone.name)})
    texts = _texts(config.shop, config.text)
    model, tokenizer = load_backbone(backbone, texts.values(), config.text.max_tokens)
    tokens = PairTokenizer(tokenizer, config.text.max_tokens).encode([(texts[item], "") for item in items])
    vectors = torch.zeros(len(items), model.config.hidden_size)
    for rows in token_batches(tokens.lengths, TEXTS_PER_PASS):
        batch = collate(tokens.take(rows))
        mask = torch.from_numpy(batch.attention_mask)
        states = model.eval()(input_ids=torch.from_numpy(batch.input_ids), attention_mask=mask).last_hidden_state
        vectors[rows] = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return functional.normalize(vectors - vectors.mean(dim=0), dim=1)


def _texts(shop: str, text: TextConfig) -> dict[str, str]:
    return product_texts(read_table(shop, "products", text_columns(text.fields)), text.fields, text.language)


def _text_neighbours(vectors: Tensor, neighbours: int) -> Any:
    """Sparse (items, items): the cube of the cosine of each item's nearest others, 0 where it is negative."""
    from scipy.sparse import csr_array

    count = len(vectors)
    nearest = min(neighbours, count - 1)
    found = []
    for start in range(0, count, TEXTS_PER_PASS):
        cosines = vectors[start : start + TEXTS_PER_PASS] @ vectors.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -1.0
        found.append(cosines.topk(nearest, dim=1))
    values = torch.cat([best.values for best in found]).clamp(min=0) ** 3
    columns = torch.cat([best.indices for best in found])
    starts = np.arange(0, count * nearest + 1, nearest)
    return csr_array((values.numpy().ravel(), columns.numpy().ravel(), starts), shape=(count, count))
