"""Two bundles on the same lists: how large the difference is, whether it is luck, and where to look."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from planogram.config import EngineName, EvaluateConfig
from planogram.data.examples import load
from planogram.errors import ConfigError
from planogram.evaluate.judged import Judged
from planogram.evaluate.scoring import score_examples
from planogram.evaluate.significance import EQUAL, paired
from planogram.evaluate.sources import source_of
from planogram.registry.bundle import open_bundle
from planogram.registry.store import Registry

# Wins and losses that are shown, and products of each.
SHOWN_QUERIES = 10
SHOWN_PRODUCTS = 3


def other_of(judged: Judged, reference: str, engine: EngineName | None = None) -> Judged:
    """Another bundle's scores of the same lists.

    Args:
        judged: the first bundle's.
        reference: of the other one.
        engine: that scores it; None: the first bundle's.

    Raises:
        NotFoundError, IntegrityError: there is no such bundle or export, or it does not verify.
        ConfigError: it is no cross-encoder, or reads other lists.
    """
    version = Registry().resolve(reference)
    _, manifest = open_bundle(version.path)
    if manifest.kind != "cross-encoder" or manifest.demand:
        raise ConfigError(f"compare: {reference} does not rank", allowed="a cross-encoder", remedy="compare another")
    # The part is the first bundle's: both answer for the same queries.
    same = {"bundle": reference, "split": judged.source.split, "clicks": judged.source.clicks}
    config: EvaluateConfig = judged.config.model_copy(update=same | {"engine": engine or judged.config.engine})
    source = source_of(manifest, config)
    examples = load(judged.task, source)
    if len(examples) != len(judged.examples) or not np.array_equal(examples.groups, judged.examples.groups):
        raise ConfigError(
            f"compare: {reference} reads other lists than {judged.config.bundle}",
            remedy="compare bundles that both know the season of a query, or both do not",
        )
    names = [head.name for head in manifest.heads]
    column = names.index(judged.task) if judged.task in names else 0
    scores = score_examples(version, [examples], config)[f"score_{column}"].to_numpy(dtype=np.float32)
    return Judged(version, manifest, source, judged.task, manifest.heads[column], examples, scores, config, column)


def compare(judged: Judged, other: Judged) -> dict[str, Any]:
    """The first bundle against the second.

    Returns:
        `bundle` (the second), `metric`, `mean` (the second's), `difference` (as `significance.paired`), `same_split`
        (whether the second one says that it trained on the same split: else it may have seen the answers), and
        `wins` and `losses`, the ten largest of each with `query`, `difference`, and the best products of both.
    """
    own, theirs = judged.queries[judged.metric].dropna(), other.queries[judged.metric].dropna()
    change = own - theirs
    config = judged.config
    return {
        "bundle": other.version.reference if other.version.version else other.version.path,
        "metric": judged.metric,
        "mean": float(theirs.mean()),
        "difference": asdict(paired(change.to_numpy(), config.bootstrap, config.seed)),
        "same_split": same_split(judged, other),
        "wins": _shown(judged, other, change[change > EQUAL].sort_values(ascending=False, kind="stable")),
        "losses": _shown(judged, other, change[change < -EQUAL].sort_values(kind="stable")),
    }


def same_split(judged: Judged, other: Judged) -> bool:
    """Whether the other bundle says that it was trained on the split that is measured: else it may know the answers."""
    trained = other.manifest.lineage.get("config", {}).get("split")
    return bool(trained == judged.source.split.model_dump(mode="json"))


def _shown(judged: Judged, other: Judged, change: "pd.Series[float]") -> list[dict[str, Any]]:
    shown = change.head(SHOWN_QUERIES)
    return [
        {
            "query": judged.texts[group],
            "difference": float(difference),
            "top": _top(judged, judged, group),
            "other_top": _top(judged, other, group),
        }
        for group, difference in zip(shown.index.tolist(), shown, strict=True)
    ]


def _top(judged: Judged, ranked_by: Judged, group: int) -> list[dict[str, Any]]:
    """The best products of a query in one bundle's order, in the first bundle's words."""
    rows = judged.lists[group]
    best = rows[np.argsort(-ranked_by.scores[rows], kind="stable")[:SHOWN_PRODUCTS]]
    examples = judged.examples
    return [{"text": examples.pairs[row][1], "grade": float(examples.grades[row])} for row in best]
