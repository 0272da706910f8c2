"""What typing errors, other words for the same wish, and stuffed titles do to a ranking."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.data.examples import Examples
from planogram.evaluate.judged import Judged
from planogram.evaluate.lists import by_query, lists_of, tau
from planogram.evaluate.perturb import PARAPHRASES, TYPOS
from planogram.evaluate.scoring import score_examples
from planogram.evaluate.significance import quantiles
from planogram.evaluate.stuffing import gains, stuffed

Scores = npt.NDArray[np.float32]


def robustness(judged: Judged) -> dict[str, Any]:
    """Rank the same lists for queries that are written otherwise, and with one irrelevant product stuffed.

    Returns:
        `queries` (how many were drawn), `typos` and `paraphrases`: kind -> `queries` (that it changed), `drop` (of
        NDCG: the mean over them), `interval` (95 %) and `tau` (Kendall's, the mean over lists); `typo_drop` and
        `paraphrase_drop`, the mean over all kinds; and `stuffing` (as `stuffing.gains` returns it). What changes no
        query is left out, and a drop of nothing is None.

    Raises:
        ConfigError: the task does not rank products for queries.
    """
    judged.check_lists("robustness")
    examples, clean = _drawn(judged)
    kinds = {**TYPOS, **PARAPHRASES}
    written = [_written(examples, name, judged.config.seed) for name in kinds]
    spam = stuffed(judged, examples, clean)
    scores = _scored(judged, [*(changed for changed, _ in written), *([spam.examples] if spam else [])])
    rows = {
        name: _effect(judged, examples, clean, next(scores), groups)
        for name, (_, groups) in zip(kinds, written, strict=True)
    }
    typos, paraphrases = ({name: row for name in names if (row := rows[name])} for names in (TYPOS, PARAPHRASES))
    return {
        "queries": len(np.unique(examples.groups)),
        "typos": typos,
        "paraphrases": paraphrases,
        "typo_drop": _mean_drop(typos),
        "paraphrase_drop": _mean_drop(paraphrases),
        "stuffing": gains(spam, clean, next(scores), judged.config) if spam else None,
    }


def _drawn(judged: Judged) -> tuple[Examples, Scores]:
    """Lists of as many queries as were asked for, and their scores."""
    groups = np.asarray(sorted(judged.lists))
    count = min(judged.config.robustness, len(groups))
    chosen = np.random.default_rng(judged.config.seed).choice(groups, count, replace=False)
    rows = np.flatnonzero(np.isin(judged.examples.groups, chosen))
    return judged.examples.take(rows), judged.scores[rows]


def _written(examples: Examples, kind: str, seed: int) -> tuple[Examples, set[int]]:
    """The lists for queries of one kind, those alone whose query it changes; and their numbers."""
    change, generator = {**TYPOS, **PARAPHRASES}[kind], np.random.default_rng(seed)
    queries = {query: change(query, generator) for query in dict.fromkeys(query for query, _ in examples.pairs)}
    rows = np.asarray([at for at, (query, _) in enumerate(examples.pairs) if queries[query] != query], dtype=np.intp)
    kept = examples.take(rows)
    pairs = [(queries[query], text) for query, text in kept.pairs]
    return replace(kept, pairs=pairs), set(kept.groups.tolist())


def _scored(judged: Judged, parts: list[Examples]) -> Iterator[Scores]:
    """The first head's scores of each part, all scored at once."""
    sizes = [len(part) for part in parts]
    if not sum(sizes):
        return iter([np.empty(0, dtype=np.float32)] * len(parts))
    scored = score_examples(judged.version, parts, judged.config)[f"score_{judged.column}"]
    return iter(np.split(scored.to_numpy(dtype=np.float32), np.cumsum(sizes)[:-1]))


def _effect(
    judged: Judged, examples: Examples, clean: Scores, scores: Scores, groups: set[int]
) -> dict[str, Any] | None:
    """Of the queries in `groups`, whose scores these are, in the order of the examples."""
    if not groups:
        return None
    rows = np.flatnonzero(np.isin(examples.groups, list(groups)))
    grades, numbers, before = examples.grades[rows], examples.groups[rows], clean[rows]
    k, seed, metric = judged.config.k, judged.config.seed, judged.metric
    pair = [by_query(grades, values, numbers, k)[metric].dropna() for values in (before, scores)]
    drops = (pair[0] - pair[1]).to_numpy()
    taus = [tau(before[positions], scores[positions]) for positions in lists_of(numbers)]
    return {
        "queries": len(drops),
        "drop": float(drops.mean()) if len(drops) else None,
        "interval": list(quantiles(drops, (0.025, 0.975), judged.config.bootstrap, seed)) if len(drops) else None,
        "tau": float(np.mean(taus)),
    }


def _mean_drop(rows: dict[str, dict[str, Any]]) -> float | None:
    drops = [row["drop"] for row in rows.values() if row["drop"] is not None]
    return float(np.mean(drops)) if drops else None
