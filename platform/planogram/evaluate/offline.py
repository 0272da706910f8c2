"""Scores a part of a shop with a bundle, on Ray Data or in this process, and computes the metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram import cluster
from planogram.config import ClickConfig, EngineName, EvaluateConfig, SplitConfig, TextConfig, TowerConfig
from planogram.data.examples import TASKS, Examples, Source, load
from planogram.data.shop import open_shop
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import ConfigError
from planogram.evaluate import foretold, retrieval, sequences
from planogram.evaluate.heads import beside_floor, graded_intervals, head_metrics
from planogram.evaluate.lexical import bm25
from planogram.evaluate.metrics import Interval, bootstrap, per_query
from planogram.registry.bundle import BundleManifest, Head, open_bundle
from planogram.registry.store import ModelVersion, Registry
from planogram.section import parse

PAIRS_PER_BLOCK = 2048
FEATURE = "feature."


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a bundle.

    Returns:
        `bundle`, `part`, `fold`, `examples`, `queries`, `metrics` (name -> value; those of further heads as
        `head.name`), `intervals` (name -> [low, high] of the first head, over resampled queries, users or texts),
        `lexical` (ranking metrics of BM25), `truncated` (share), `data_digest`, and `floor` (as `beside_floor` returns
        it) where one was asked for.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle does not say how its data was split, and the configuration does not either; or there
            is nothing that `floor` could stand beside.
    """
    version = Registry().resolve(config.bundle)
    _, manifest = open_bundle(version.path)
    source = source_of(manifest, config)
    common = {
        "bundle": version.reference if version.version else version.path,
        "part": config.part,
        "fold": source.split.fold,
        "data_digest": open_shop(config.shop)["data_digest"],
    }
    if config.floor and manifest.demand:
        raise ConfigError(
            f"floor={config.floor}, but the bundle is a demand model",
            remedy="leave it out: its floors are measured anyway",
        )
    if manifest.demand:
        return common | foretold.evaluate(version.path, manifest, config)
    if config.floor and manifest.kind != "cross-encoder":
        raise ConfigError(f"floor={config.floor}, but the bundle is a {manifest.kind}", allowed="a cross-encoder")
    if manifest.kind == "sequence":
        return common | sequences.evaluate(version.path, source, config)
    if manifest.kind == "bi-encoder":
        task = config.task or manifest.lineage["config"]["task"]
        return common | retrieval.evaluate(version.path, task, source, config)
    return common | _evaluate_heads(version, manifest, source, config)


def _evaluate_heads(
    version: ModelVersion, manifest: BundleManifest, source: Source, config: EvaluateConfig
) -> dict[str, Any]:
    heads = [(column, head, config.task or head.name) for column, head in enumerate(manifest.heads)]
    heads = heads[:1] if config.task else heads
    parts = {task: load(task, source) for _, _, task in heads}
    scored = score_examples(version, list(parts.values()), config)
    metrics: dict[str, float] = {}
    first = next(iter(parts.values()))
    start = 0
    for column, head, task in heads:
        examples = parts[task]
        scores = scored[f"score_{column}"].to_numpy(dtype=np.float32)[start : start + len(examples)]
        start += len(examples)
        found = head_metrics(_comparable(head, task), TASKS[task], examples, scores, config.k)
        metrics |= found if column == 0 else {f"{task}.{key}": value for key, value in found.items()}
    first_scores = scored["score_0"].to_numpy(dtype=np.float32)[: len(first)]
    ranks = TASKS[heads[0][2]].ranks and len(np.unique(first.groups)) < len(first)
    lexical = rank_metrics(first, bm25(first.pairs), config) if ranks else {}
    _, head, task = heads[0]
    head = _comparable(head, task)
    intervals = graded_intervals(head, TASKS[task], first, first_scores, config.bootstrap, config.seed)
    if ranks:
        means = rank_metrics(first, first_scores, config)
        intervals |= {name: (interval.low, interval.high) for name, interval in means.items()}
    result: dict[str, Any] = {
        "examples": len(first),
        "queries": len(np.unique(first.groups)),
        "metrics": metrics,
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "lexical": _means(lexical),
        "truncated": float(scored["truncated"].mean()),
    }
    if config.floor:
        result["floor"] = beside_floor(head, first, first_scores, config.floor, config.bootstrap, config.seed)
    return result


def _comparable(head: Head, task: str) -> Head:
    """The head without cutoffs where it is measured against another task, whose grades are others."""
    return head if head.name == task else Head(name=task)


def source_of(manifest: BundleManifest, config: EvaluateConfig) -> Source:
    """Examples as the bundle was trained on."""
    trained = manifest.lineage.get("config", {})
    text = parse(TextConfig, trained.get("text", {}), "the bundle's lineage")
    written = {"fields": manifest.text_fields, "language": manifest.text_language, "season": manifest.text_season}
    return Source(
        shop=config.shop,
        text=text.model_copy(update=written),
        split=config.split or _split_of(manifest, config),
        clicks=config.clicks or parse(ClickConfig, trained.get("clicks", {}), "the bundle's lineage"),
        tower=parse(TowerConfig, trained.get("tower", {}), "the bundle's lineage"),
        part=config.part,
    )


def rank_metrics(examples: Examples, scores: npt.NDArray[np.floating], config: EvaluateConfig) -> dict[str, Interval]:
    """Ranking metrics with intervals over queries.

    Args:
        examples: with grades.
        scores: (examples,) higher is better.
        config: cut-off, resamples and seed.
    """
    ranking = per_query(examples.grades, scores, examples.groups, config.k)
    return {name: bootstrap(values, config.bootstrap, config.seed) for name, values in ranking.items() if len(values)}


def _means(intervals: dict[str, Interval]) -> dict[str, float]:
    return {name: interval.mean for name, interval in intervals.items()}


def _split_of(manifest: BundleManifest, config: EvaluateConfig) -> SplitConfig:
    trained = manifest.lineage.get("config", {}).get("split")
    if trained is None and config.part != "all":
        raise ConfigError(
            f"{config.bundle} does not say how its data was split", remedy="give the split, or set part=all"
        )
    return parse(SplitConfig, trained or {}, "the bundle's lineage")


def score_examples(version: ModelVersion, parts: Sequence[Examples], config: EvaluateConfig) -> pd.DataFrame:
    """Score the examples of all parts in their order.

    Returns:
        Columns `score_0`, `score_1`, … (float32, one per head) and `truncated`.
    """
    rows = pd.concat([_rows(examples) for examples in parts], ignore_index=True)
    if config.workers == 0:
        return _Scorer(version.path, config.engine, config.batch_tokens)(rows)
    import ray.data

    with cluster.connect(config.cluster), cluster.quiet_data():
        blocks = [rows.iloc[start : start + PAIRS_PER_BLOCK] for start in range(0, len(rows), PAIRS_PER_BLOCK)]
        dataset = ray.data.from_pandas([block.assign(position=block.index) for block in blocks])
        scored = dataset.map_batches(
            _Scorer,
            fn_constructor_args=(version.path, config.engine, config.batch_tokens),
            batch_format="pandas",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(blocks))),
        )
        return scored.to_pandas().sort_values("position", ignore_index=True)


def _rows(examples: Examples) -> pd.DataFrame:
    features = examples.features.add_prefix(FEATURE).reset_index(drop=True)
    return pd.concat([pd.DataFrame(examples.pairs, columns=["query", "text"]), features], axis=1)


class _Scorer:
    """Scores blocks of pairs; loads the bundle once."""

    def __init__(self, path: str, engine: EngineName, batch_tokens: int) -> None:
        self.engine = load_engine(path, engine)
        self.batch_tokens = batch_tokens

    def __call__(self, block: pd.DataFrame) -> pd.DataFrame:
        pairs = list(zip(block["query"], block["text"], strict=True))
        features = block.filter(like=FEATURE).rename(columns=lambda name: name.removeprefix(FEATURE))
        scores = score(self.engine, pairs, self.batch_tokens, features)
        columns = {f"score_{index}": values for index, values in enumerate(scores.values.T)}
        kept = block[["position"]] if "position" in block else pd.DataFrame(index=block.index)
        return kept.assign(**columns, truncated=scores.truncated)
