"""Stuffed titles: whether an irrelevant product climbs by words that many queries have."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.config import EvaluateConfig
from planogram.data.examples import Examples
from planogram.data.shop import read_table
from planogram.data.text import product_text
from planogram.evaluate.judged import Judged
from planogram.evaluate.lists import lists_of, ranks
from planogram.evaluate.perturb import popular_words
from planogram.evaluate.significance import quantiles

Scores = npt.NDArray[np.float32]
#: words that are appended to a title, and ranks from which on a product has gained by them
STUFFED_WORDS = 10
GAINED_RANKS = 3


@dataclass(frozen=True)
class Stuffed:
    """One stuffed product for each query that has an irrelevant one.

    Attributes:
        examples: (queries,) the pairs with the stuffed text.
        places: (queries,) where the product stands in its list.
        lists: (queries,) rows of each list among the drawn examples.
        words: that were appended.
    """

    examples: Examples
    places: npt.NDArray[np.intp]
    lists: list[npt.NDArray[np.intp]]
    words: list[str]


def stuffed(judged: Judged, examples: Examples, clean: Scores) -> Stuffed | None:
    """Append the most popular words of all queries to the title of each query's irrelevant product.

    It is the lowest ranked of those of the lowest grade, in lists that have better ones. None where the text has no
    title, or no list has such a product.

    Source: Gyöngyi & Garcia-Molina 2005, Web Spam Taxonomy, for the stuffing of titles with popular words.
    """
    fields, language = judged.source.text.fields, judged.source.text.language
    if not examples.products or "title" not in fields:
        return None
    words = popular_words(list(judged.texts.values()), STUFFED_WORDS)
    long = [rows for rows in lists_of(examples.groups) if len(rows) > GAINED_RANKS]
    lists = [rows for rows in long if np.ptp(examples.grades[rows]) > 0]
    if not lists:
        return None
    places = np.asarray([_victim(examples.grades[rows], clean[rows]) for rows in lists], dtype=np.intp)
    chosen = examples.take(np.asarray([rows[place] for rows, place in zip(lists, places, strict=True)]))
    products = read_table(judged.source.shop, "products").set_index("product_id", drop=False).loc[chosen.products]
    pairs = [
        (query, product_text(row | {"title": f"{row['title']} {' '.join(words)}"}, fields, language))
        for (query, _), row in zip(chosen.pairs, products.to_dict("records"), strict=True)
    ]
    return Stuffed(replace(chosen, pairs=pairs), places, lists, words)


def _victim(grades: npt.NDArray[np.float64], scores: Scores) -> int:
    """The lowest ranked candidate of the lowest grade."""
    lowest = np.flatnonzero(grades == grades.min())
    return int(lowest[np.argmax(ranks(scores)[lowest])])


def gains(spam: Stuffed, clean: Scores, scores: Scores, config: EvaluateConfig) -> dict[str, Any]:
    """How many ranks stuffed products gain.

    Args:
        spam: the pairs.
        clean: (drawn examples,) scores of all products as they are.
        scores: (queries,) of the stuffed pairs.
        config: resamples and seed of the interval.

    Returns:
        `queries`, `words` (that were appended), `share` (of queries where the product gains `GAINED_RANKS` or more),
        `interval` (95 %) and `mean_gain` (ranks).
    """
    gained = np.asarray(
        [_gain(clean[rows], place, score) for rows, place, score in zip(spam.lists, spam.places, scores, strict=True)]
    )
    fooled = (gained >= GAINED_RANKS).astype(np.float64)
    return {
        "queries": len(gained),
        "words": spam.words,
        "share": float(fooled.mean()),
        "interval": list(quantiles(fooled, (0.025, 0.975), config.bootstrap, config.seed)),
        "mean_gain": float(gained.mean()),
    }


def _gain(before: Scores, place: int, score: float) -> int:
    """Ranks that the candidate at a place gains by another score."""
    after = before.copy()
    after[place] = score
    return int(ranks(before)[place] - ranks(after)[place])
