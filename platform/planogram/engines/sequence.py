"""The engine of sequence models: histories into what comes next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from planogram import storage
from planogram.config import SequenceConfig
from planogram.data.examples.base import Integers
from planogram.data.examples.sequences import Sequences, padded
from planogram.errors import ConfigError, IntegrityError
from planogram.models.sequence import ItemTables, SequenceModel, blend, log_counts, ranks, without_history
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.section import parse

ARCHITECTURE = "sequence.json"
ITEMS = "items.json"
TABLES = "tables.safetensors"
BATCH = 512


class SequenceEngine:
    """Runs a sequence bundle with torch.

    Args:
        uri: the bundle.
        device: `cpu`, `cuda`, …; by default a GPU where there is one.

    Attributes:
        items: product ids of the catalogue, in the order of their numbers.
        numbers: product id -> number.
        parts: of the shop that the bundle was trained on.

    Raises:
        IntegrityError: the bundle does not verify, or its files do not fit each other.
        ConfigError: it is no sequence model.
    """

    def __init__(self, uri: str, device: str | None = None) -> None:
        folder, self.manifest = open_bundle(uri)
        if self.manifest.kind != "sequence":
            raise ConfigError(f"{uri} is a {self.manifest.kind}", allowed="a sequence", remedy="choose another bundle")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        architecture = storage.read_json(str(folder / ARCHITECTURE))
        self.items: list[str] = storage.read_json(str(folder / ITEMS))
        self.numbers = {item: number for number, item in enumerate(self.items)}
        self.parts: list[str] = architecture["parts"]
        self.weight: float = architecture["weight"]
        self.mask_history: bool = architecture["mask_history"]
        self.max_items: int = architecture["sequence"]["max_items"]
        self.model = _load(folder, architecture, len(self.items)).to(self.device).eval()

    @torch.inference_mode()
    def recommend(
        self, histories: Sequence[Sequence[str]], k: int, exclude: Sequence[Sequence[str]] | None = None
    ) -> tuple[list[list[str]], npt.NDArray[np.float32]]:
        """The k products that most likely come next.

        Args:
            histories: product ids of each shopper, the oldest first; unknown ones are passed over.
            k: how many; fewer where the catalogue is smaller.
            exclude: per history, what must not be proposed; such products come last, at minus infinity.

        Returns:
            Ids (histories, k), the best first, and the logs of their probabilities (histories, k) float32.
        """
        k = min(k, len(self.items))
        rows = [self._numbers(history) for history in histories]
        hidden = [self._numbers(items) for items in exclude or ()]
        ids: list[list[str]] = []
        scores: list[npt.NDArray[np.float32]] = [np.empty((0, k), dtype=np.float32)]
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            chances = self._masked(self._scores(batch).log_softmax(dim=1), batch)
            if hidden:
                chances = without_history(chances, self._padded(hidden[start : start + BATCH]))
            best = chances.topk(k)
            ids += [[self.items[item] for item in row] for row in best.indices.tolist()]
            scores.append(best.values.cpu().numpy())
        return ids, np.concatenate(scores)

    @torch.inference_mode()
    def ranks(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        """(rows,) rank of each row's target among the whole catalogue, from 0."""
        found = []
        for start in range(0, len(sequences), BATCH):
            rows = [row[:-1] for row in sequences.items[start : start + BATCH]]
            targets = torch.from_numpy(sequences.targets[start : start + BATCH]).to(self.device)
            found.append(ranks(self._masked(self._scores(rows), rows), targets).cpu().numpy())
        return np.concatenate(found)

    def _scores(self, rows: Sequence[Integers]) -> Tensor:
        items = self._padded(rows, self.max_items)
        return blend(self.model(items), log_counts(self.model.transition_counts(items)), self.weight)

    def _masked(self, scores: Tensor, rows: Sequence[Integers]) -> Tensor:
        return without_history(scores, self._padded(rows)) if self.mask_history else scores

    def _padded(self, rows: Sequence[Integers], max_items: int | None = None) -> Tensor:
        return torch.from_numpy(padded(rows, len(self.items), max_items)).to(self.device)

    def _numbers(self, history: Sequence[str]) -> Integers:
        return np.array([self.numbers[item] for item in history if item in self.numbers], dtype=np.int64)


def _load(folder: Path, architecture: dict[str, Any], num_items: int) -> SequenceModel:
    """The model with its tables and weights.

    Raises:
        IntegrityError: they do not fit each other.
    """
    try:
        tables = ItemTables.from_tensors(load_file(folder / TABLES))
        if tables.num_items != num_items:
            raise ValueError(f"{num_items} ids of {tables.num_items} items")  # noqa: TRY301 - one error for all misfits
        config = parse(SequenceConfig, architecture["sequence"], str(folder / ARCHITECTURE))
        model = SequenceModel(config, tables, architecture["history_decay"])
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, TypeError, ValueError, OSError) as error:
        raise IntegrityError(f"{folder}: {error}", remedy="publish the bundle anew") from error
    return model
