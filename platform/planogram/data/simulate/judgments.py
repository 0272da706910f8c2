"""Which products the judges saw for each query, and the grades they gave."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from planogram.data.schema import JUDGMENTS
from planogram.data.simulate.catalogue import LOCALE, Catalogue, Floats, Ints
from planogram.data.simulate.grading import TOP_GRADE, Query, grade
from planogram.data.simulate.lexical import TitleIndex
from planogram.data.simulate.queries import Queries

RELEVANT_SHARE = 0.4
LEXICAL_SHARE = 0.25
CATEGORY_SHARE = 0.2


def judge(
    catalogue: Catalogue, query: Query, index: TitleIndex, size: int, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.int8]]:
    """Choose `size` products for a query: relevant ones, near misses by words, others of the category, and any.

    Returns:
        Numbers of the products in random order, and their true grades; fewer where the shop has fewer.
    """
    grades = grade(query, catalogue, np.arange(len(catalogue)))
    category = catalogue.vocabulary.category_of_type[query.type]
    taken = np.zeros(len(catalogue), dtype=bool)
    chance = rng.random(len(catalogue))
    wanted = (
        # The slight preference for high grades makes sure that nearly every query has some.
        (RELEVANT_SHARE, np.flatnonzero(grades >= 2), chance + 0.15 * grades),
        (LEXICAL_SHARE, np.flatnonzero(grades < 2), index.scores(query.text) + 0.01 * chance),
        (CATEGORY_SHARE, catalogue.category_members[category], chance),
        (1.0, np.arange(len(catalogue)), chance),
    )
    for share, candidates, key in wanted:
        room = min(round(share * size), size - int(taken.sum()))
        _take(taken, candidates[~taken[candidates]], key, room)
    chosen = rng.permutation(np.flatnonzero(taken))
    return chosen, grades[chosen]


def _take(taken: NDArray[np.bool_], candidates: Ints, key: Floats, room: int) -> None:
    if room <= 0:
        return
    keys = key[candidates]
    if room < len(candidates):
        candidates = candidates[np.argpartition(-keys, room - 1)[:room]]
    taken[candidates] = True


def judgment_table(
    catalogue: Catalogue, queries: Queries, index: TitleIndex, size: int, noise: float, rng: np.random.Generator
) -> pa.Table:
    """The judgments table; a share `noise` of its grades is one off the truth."""
    judged = [judge(catalogue, query, index, size, rng) for query in queries.items]
    lengths = [len(products) for products, _ in judged]
    products = np.concatenate([products for products, _ in judged])
    grades = np.concatenate([grades for _, grades in judged]).astype(np.float64)
    wrong = rng.random(len(grades)) < noise
    # At the ends of the scale there is only one way to err.
    up = np.where(grades == 0, True, np.where(grades == TOP_GRADE, False, rng.random(len(grades)) < 0.5))
    texts = pa.array([query.text for query in queries.items])
    return pa.table(
        {
            "query": texts.take(pa.array(np.repeat(np.arange(len(queries)), lengths))),
            "product_id": catalogue.ids.take(pa.array(products)),
            "grade": grades + np.where(wrong, np.where(up, 1.0, -1.0), 0.0),
            "grade_variance": pa.nulls(len(grades), pa.float64()),
            "locale": pa.repeat(LOCALE, len(grades)),
            "split": pa.nulls(len(grades), pa.string()),
        },
        schema=JUDGMENTS.arrow_schema,
    )
