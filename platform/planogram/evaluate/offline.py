"""Scores a part of a shop with a bundle, on Ray Data or in this process, and computes the metrics."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram import cluster
from planogram.config import EvaluateConfig, SplitConfig, parse
from planogram.data.examples import Examples, relevance_examples, text_columns
from planogram.data.sources import open_shop, read_table
from planogram.engines.base import Engine, score
from planogram.errors import ConfigError
from planogram.evaluate.lexical import bm25
from planogram.evaluate.metrics import (
    Interval,
    binary_metrics,
    bootstrap,
    grade_of,
    per_query,
    quadratic_kappa,
)
from planogram.registry.bundle import BundleManifest, Head, open_bundle
from planogram.registry.store import ModelVersion, Registry

PAIRS_PER_BLOCK = 2048


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a bundle.

    Returns:
        `bundle`, `part`, `fold`, `examples`, `queries`, `metrics` (name -> value), `intervals` (name -> [low, high] of
        what is a mean over queries), `lexical` (the same metrics of BM25), `truncated` (share) and `data_digest`.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle does not say how its data was split, and the configuration does not either.
    """
    version = Registry().resolve(config.bundle)
    _, manifest = open_bundle(version.path)
    split = config.split or _split_of(manifest, config)
    products = read_table(config.shop, "products", text_columns(manifest.text_fields))
    judgments = read_table(config.shop, "judgments")
    examples = relevance_examples(judgments, products, manifest.text_fields, split, config.part)
    scored = score_examples(version, examples, config)
    scores = scored["score"].to_numpy(dtype=np.float32)
    ranking = rank_metrics(examples, scores, config)
    lexical = rank_metrics(examples, bm25(examples.pairs), config)
    return {
        "bundle": version.reference if version.version else version.path,
        "part": config.part,
        "fold": split.fold,
        "examples": len(examples),
        "queries": len(np.unique(examples.groups)),
        "metrics": _means(ranking) | graded_metrics(examples, scores, manifest.heads[0]),
        "intervals": {name: [interval.low, interval.high] for name, interval in ranking.items()},
        "lexical": _means(lexical),
        "truncated": float(scored["truncated"].mean()),
        "data_digest": open_shop(config.shop)["data_digest"],
    }


def rank_metrics(examples: Examples, scores: npt.NDArray[np.floating], config: EvaluateConfig) -> dict[str, Interval]:
    """Ranking metrics with intervals over queries.

    Args:
        examples: with grades.
        scores: (examples,) higher is better.
        config: cut-off, resamples and seed.
    """
    ranking = per_query(examples.grades, scores, examples.groups, config.k)
    return {name: bootstrap(values, config.bootstrap, config.seed) for name, values in ranking.items()}


def graded_metrics(examples: Examples, scores: npt.NDArray[np.float32], head: Head) -> dict[str, float]:
    """Quadratic kappa at the head's cutoffs, and AUC, log loss and calibration of the upper half of the grades.

    Args:
        examples: with grades.
        scores: (examples,) of the head, 0..1.
        head: its grades and cutoffs.
    """
    metrics = binary_metrics(examples.grades > (head.low + head.high) / 2, scores)
    if head.cutoffs:
        predicted = grade_of(scores, head.cutoffs, np.asarray(head.grades))
        metrics["kappa"] = quadratic_kappa(examples.grades, predicted)
    return metrics


def _means(intervals: dict[str, Interval]) -> dict[str, float]:
    return {name: interval.mean for name, interval in intervals.items()}


def _split_of(manifest: BundleManifest, config: EvaluateConfig) -> SplitConfig:
    trained = manifest.lineage.get("config", {}).get("split")
    if trained is None and config.part != "all":
        raise ConfigError(
            f"{config.bundle} does not say how its data was split", remedy="give the split, or set part=all"
        )
    return parse(SplitConfig, trained or {}, "the bundle's lineage")


def score_examples(version: ModelVersion, examples: Examples, config: EvaluateConfig) -> pd.DataFrame:
    """Score pairs in their order.

    Returns:
        Columns `score` (float32, first head) and `truncated`.
    """
    pairs = pd.DataFrame(examples.pairs, columns=["query", "text"])
    if config.workers == 0:
        return _Scorer(version.path, config.batch_tokens)(pairs)
    import ray.data

    with cluster.connect(config.cluster), cluster.quiet_data():
        blocks = [pairs.iloc[start : start + PAIRS_PER_BLOCK] for start in range(0, len(pairs), PAIRS_PER_BLOCK)]
        dataset = ray.data.from_pandas([block.assign(position=block.index) for block in blocks])
        scored = dataset.map_batches(
            _Scorer,
            fn_constructor_args=(version.path, config.batch_tokens),
            batch_format="pandas",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(blocks))),
        )
        return scored.to_pandas().sort_values("position", ignore_index=True)


class _Scorer:
    """Scores blocks of pairs; loads the bundle once."""

    def __init__(self, path: str, batch_tokens: int) -> None:
        from planogram.engines.torch import TorchEngine

        self.engine: Engine = TorchEngine(path)
        self.batch_tokens = batch_tokens

    def __call__(self, block: pd.DataFrame) -> pd.DataFrame:
        pairs = list(zip(block["query"], block["text"], strict=True))
        scores = score(self.engine, pairs, self.batch_tokens)
        return block.drop(columns=["query", "text"]).assign(score=scores.values[:, 0], truncated=scores.truncated)
