"""A sequence model measured by the rank of what a shopper really took next, among the whole catalogue."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from planogram.config import EvaluateConfig, TransitionConfig
from planogram.data.examples.load import Source
from planogram.data.examples.sequences import Sequences, count_targets, count_transitions, load_sequences
from planogram.engines.sequence import SequenceEngine
from planogram.evaluate.metrics import bootstrap
from planogram.models.sequence import ranks

Ranks = npt.NDArray[np.float32]
# Next step alone: what a table of pairs gives.
LAST_ITEM = TransitionConfig(window=1, step_decay=1.0, reverse=0.0)
ROWS = 1024


def evaluate(path: str, source: Source, config: EvaluateConfig) -> dict[str, Any]:
    """Rank the whole catalogue for every history of a part.

    Returns:
        `examples`, `queries`, `unknown` (further rows, whose target is not in the bundle's catalogue), `metrics` (the
        bundle's, then those of `popularity` and `last_item`, counted on what the bundle was trained on), `intervals`
        (of the bundle's) and `lexical` (empty).
    """
    engine = SequenceEngine(path)
    asked = load_sequences(config.shop, source.split, [config.part], engine.numbers)
    trained = load_sequences(config.shop, source.split, engine.parts, engine.numbers)
    per_row = row_metrics(engine.ranks(asked), config.k)
    intervals = {name: bootstrap(values, config.bootstrap, config.seed) for name, values in per_row.items()}
    metrics = {name: interval.mean for name, interval in intervals.items()}
    for floor, found in _floors(trained, asked, len(engine.items)).items():
        metrics |= {f"{floor}.{name}": float(values.mean()) for name, values in row_metrics(found, config.k).items()}
    return {
        "examples": len(asked),
        "queries": len(asked),
        "unknown": asked.num_unknown,
        "metrics": metrics,
        "intervals": {name: [interval.low, interval.high] for name, interval in intervals.items()},
        "lexical": {},
    }


def row_metrics(found: Ranks, k: int) -> dict[str, npt.NDArray[np.float64]]:
    """Hit rate and NDCG at k, and the reciprocal rank, of every row; there is one right item in each.

    Args:
        found: (rows,) rank of that item, from 0.
        k: cut-off.
    """
    places = found.astype(np.float64)
    hits = places < k
    gains = np.where(hits, 1 / np.log2(places + 2), 0.0)
    return {f"hr@{k}": hits.astype(np.float64), f"ndcg@{k}": gains, "mrr": 1 / (places + 1)}


def next_item_metrics(found: Ranks) -> dict[str, float]:
    """Means of `row_metrics` at 5 and at 10."""
    rows = row_metrics(found, 5) | row_metrics(found, 10)
    return {name: float(values.mean()) for name, values in rows.items()}


def _floors(trained: Sequences, asked: Sequences, num_items: int) -> dict[str, Ranks]:
    """Ranks by popularity, and by how often an item came after the last one, popularity deciding between equals."""
    popular = count_targets(trained, num_items).astype(np.float64)
    after = count_transitions(trained, num_items, LAST_ITEM)
    found: dict[str, list[Ranks]] = {"popularity": [], "last_item": []}
    for start in range(0, len(asked), ROWS):
        rows = asked.items[start : start + ROWS]
        targets = torch.from_numpy(asked.targets[start : start + ROWS])
        scores = np.tile(popular / (popular.sum() + 1), (len(rows), 1))
        found["popularity"].append(ranks(torch.from_numpy(scores), targets).numpy())
        known = [place for place, row in enumerate(rows) if len(row) > 1]
        scores[known] += after[[rows[place][-2] for place in known]].toarray()
        found["last_item"].append(ranks(torch.from_numpy(scores), targets).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}
