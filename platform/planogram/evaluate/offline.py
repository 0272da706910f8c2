"""Scores a part of a shop with a bundle and computes the metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram import storage
from planogram.config import EvaluateConfig
from planogram.data.examples import TASKS, Examples, Source, load
from planogram.data.shop import open_shop
from planogram.errors import ConfigError
from planogram.evaluate import foretold, retrieval, sequences
from planogram.evaluate.depth import depth
from planogram.evaluate.heads import beside_floor, graded_intervals, head_metrics
from planogram.evaluate.judged import Judged
from planogram.evaluate.lexical import bm25
from planogram.evaluate.metrics import Interval, bootstrap, per_query
from planogram.evaluate.scoring import pairs_per_s, score_examples
from planogram.evaluate.sources import source_of
from planogram.registry.bundle import BundleManifest, Head, open_bundle
from planogram.registry.store import ModelVersion, Registry

RESULT = "evaluation.json"
# What only a cross-encoder can be asked for.
DEEPER = ("slices", "compare", "robustness", "out", "floor")


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a bundle.

    Returns:
        `bundle`, `part`, `fold`, `examples`, `queries`, `metrics` (name -> value; those of further heads as
        `head.name`), `intervals` (name -> [low, high] of the first head, over resampled queries, users or texts),
        `lexical` (ranking metrics of BM25), `truncated` (share), `data_digest`; of a cross-encoder `pairs_per_s` and
        what `depth` returns, and `floor` (as `beside_floor` returns it) where one was asked for.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle does not say how its data was split, and the configuration does not either; or there
            is nothing that `floor` could stand beside; or what is asked for needs a cross-encoder, or lists.
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
    _check(config, manifest)
    if manifest.demand:
        return common | foretold.evaluate(version.path, manifest, config)
    if manifest.kind == "sequence":
        return common | sequences.evaluate(version.path, source, config)
    if manifest.kind == "bi-encoder":
        task = config.task or manifest.lineage["config"]["task"]
        return common | retrieval.evaluate(version.path, task, source, config)
    result = common | _evaluate_heads(version, manifest, source, config)
    if config.out:
        result["files"]["result"] = storage.join(config.out, RESULT)
        storage.write_json(result["files"]["result"], result)
    return result


def judge(config: EvaluateConfig) -> Judged:
    """The first head's scores of a part, from which everything else of it can be computed.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle is no cross-encoder that ranks, or does not say how its data was split.
    """
    version = Registry().resolve(config.bundle)
    _, manifest = open_bundle(version.path)
    if manifest.kind != "cross-encoder" or manifest.demand:
        what = "demand model" if manifest.demand else manifest.kind
        raise ConfigError(f"{config.bundle} is a {what}", allowed="a cross-encoder that ranks")
    source = source_of(manifest, config)
    task = config.task or manifest.heads[0].name
    examples = load(task, source)
    scores = score_examples(version, [examples], config)["score_0"].to_numpy(dtype=np.float32)
    return Judged(version, manifest, source, task, _comparable(manifest.heads[0], task), examples, scores, config)


def _check(config: EvaluateConfig, manifest: BundleManifest) -> None:
    asked = [name for name in DEEPER if getattr(config, name)]
    if not asked or (manifest.kind == "cross-encoder" and not manifest.demand):
        return
    if manifest.demand:
        raise ConfigError(
            f"{asked[0]}={getattr(config, asked[0])}, but the bundle is a demand model",
            remedy="leave it out: its floors are measured anyway",
        )
    raise ConfigError(
        f"{asked[0]}={getattr(config, asked[0])}, but the bundle is a {manifest.kind}",
        allowed="a cross-encoder",
        remedy="leave it out",
    )


def _evaluate_heads(
    version: ModelVersion, manifest: BundleManifest, source: Source, config: EvaluateConfig
) -> dict[str, Any]:
    heads = [(column, head, config.task or head.name) for column, head in enumerate(manifest.heads)]
    heads = heads[:1] if config.task else heads
    parts = {task: load(task, source) for _, _, task in heads}
    scored = score_examples(version, list(parts.values()), config)
    _, head, task = heads[0]
    first = parts[task]
    scores = scored["score_0"].to_numpy(dtype=np.float32)[: len(first)]
    judged = Judged(version, manifest, source, task, _comparable(head, task), first, scores, config)
    return {
        "examples": len(first),
        "queries": len(np.unique(first.groups)),
        "metrics": _metrics(heads, parts, scored, config),
        **_of_first(judged),
        "truncated": float(scored["truncated"].mean()),
        "pairs_per_s": pairs_per_s(scored, config.workers),
        **depth(judged),
    }


def _metrics(
    heads: Sequence[tuple[int, Head, str]], parts: dict[str, Examples], scored: pd.DataFrame, config: EvaluateConfig
) -> dict[str, float]:
    """Those of the first head by name, those of further ones as `head.name`."""
    metrics: dict[str, float] = {}
    start = 0
    for column, head, task in heads:
        examples = parts[task]
        scores = scored[f"score_{column}"].to_numpy(dtype=np.float32)[start : start + len(examples)]
        start += len(examples)
        found = head_metrics(_comparable(head, task), TASKS[task], examples, scores, config.k)
        metrics |= found if column == 0 else {f"{task}.{key}": value for key, value in found.items()}
    return metrics


def _of_first(judged: Judged) -> dict[str, Any]:
    """Intervals of the first head's metrics, BM25's metrics, and what the floor says where one was asked for."""
    head, first, scores, config = judged.head, judged.examples, judged.scores, judged.config
    spec = TASKS[judged.task]
    ranks = spec.ranks and bool(judged.lists)
    intervals = graded_intervals(head, spec, first, scores, config.bootstrap, config.seed)
    if ranks:
        means = rank_metrics(first, scores, config)
        intervals |= {name: (interval.low, interval.high) for name, interval in means.items()}
    result: dict[str, Any] = {
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "lexical": _means(rank_metrics(first, bm25(first.pairs), config)) if ranks else {},
    }
    if config.floor:
        result["floor"] = beside_floor(head, first, scores, config.floor, config.bootstrap, config.seed)
    return result


def _comparable(head: Head, task: str) -> Head:
    """The head without cutoffs where it is measured against another task, whose grades are others."""
    return head if head.name == task else Head(name=task)


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
