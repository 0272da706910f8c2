"""Scores of many pairs, on Ray Data or in this process."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from planogram import cluster
from planogram.config import EngineName, EvaluateConfig
from planogram.data.examples import Examples
from planogram.engines.base import Watch, score
from planogram.engines.load import load_engine
from planogram.registry.store import ModelVersion

# Fewer are not worth another worker's start; of more the batches of like lengths get no better.
PAIRS_PER_BLOCK = (256, 2048)
FEATURE = "feature."
# Of the core that Ray Data gives each.
WORKER_THREADS = 1


def score_examples(version: ModelVersion, parts: Sequence[Examples], config: EvaluateConfig) -> pd.DataFrame:
    """Score the examples of all parts in their order.

    Returns:
        Columns `score_0`, `score_1`, … (float32, one per head), `truncated`, and `seconds`, a pair's share of the time
        that its block took one worker, loading aside.
    """
    rows = pd.concat([_rows(examples) for examples in parts], ignore_index=True)
    if config.workers == 0:
        return Scorer(version.path, config.engine, config.batch_tokens, shown=True)(rows)
    import ray.data

    with cluster.connect(config.cluster), cluster.quiet_data():
        size = _block_size(len(rows), config.workers)
        blocks = [rows.iloc[start : start + size] for start in range(0, len(rows), size)]
        dataset = ray.data.from_pandas([block.assign(position=block.index) for block in blocks])
        scored = dataset.map_batches(
            Scorer,
            fn_constructor_args=(version.path, config.engine, config.batch_tokens),
            fn_constructor_kwargs={"threads": WORKER_THREADS},
            batch_format="pandas",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(blocks))),
        )
        return scored.to_pandas().sort_values("position", ignore_index=True)


def pairs_per_s(scored: pd.DataFrame, workers: int) -> float:
    """Pairs a second of all workers together.

    Args:
        scored: what `score_examples` returned.
        workers: that it was asked for.
    """
    blocks = -(-len(scored) // _block_size(len(scored), workers)) if workers else 1
    return float(len(scored) * max(1, min(workers, blocks)) / scored["seconds"].sum())


def _block_size(pairs: int, workers: int) -> int:
    """Pairs of a block, so that every worker gets one where there is enough for all."""
    least, most = PAIRS_PER_BLOCK
    return min(most, max(least, -(-pairs // workers)))


def _rows(examples: Examples) -> pd.DataFrame:
    features = examples.features.add_prefix(FEATURE).reset_index(drop=True)
    return pd.concat([pd.DataFrame(examples.pairs, columns=["query", "text"]), features], axis=1)


def progress(what: str) -> Watch:
    """Shows on a terminal's standard error how many batches of a scoring are done."""
    console = Console(stderr=True)
    return lambda batches: track(batches, what, console=console, transient=True, disable=not console.is_terminal)


class Scorer:
    """Scores blocks of pairs; loads the bundle once.

    Args:
        path: of the bundle.
        engine: that scores.
        batch_tokens: padded tokens in one batch.
        threads: of one inference; absent: all cores.
        shown: whether its progress is; Ray Data has a bar of its own.
    """

    def __init__(
        self, path: str, engine: EngineName, batch_tokens: int, threads: int | None = None, *, shown: bool = False
    ) -> None:
        self.engine = load_engine(path, engine, threads)
        self.batch_tokens = batch_tokens
        self.watch: Watch = progress("scoring") if shown else iter

    def __call__(self, block: pd.DataFrame) -> pd.DataFrame:
        """Columns as `score_examples`; the block has `query`, `text`, features and perhaps `position`."""
        pairs = list(zip(block["query"], block["text"], strict=True))
        features = block.filter(like=FEATURE).rename(columns=lambda name: name.removeprefix(FEATURE))
        began_s = time.perf_counter()
        scores = score(self.engine, pairs, self.batch_tokens, features, self.watch)
        seconds = np.full(len(block), (time.perf_counter() - began_s) / len(block))
        columns = {f"score_{index}": values for index, values in enumerate(scores.values.T)}
        kept = block[["position"]] if "position" in block else pd.DataFrame(index=block.index)
        return kept.assign(**columns, truncated=scores.truncated, seconds=seconds)
