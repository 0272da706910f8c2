"""The search engine that the simulated shop had when its traffic was recorded: words of titles, and popularity."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import Catalogue, Floats, Ints
from planogram.data.simulate.grading import Query, grade
from planogram.data.simulate.queries import Queries

POOL_PER_PAGE = 3
RULE_SHARE = 0.6
RULE_BONUS = 1.5
POPULARITY_WEIGHT = 0.25
SHARPNESS = 1.5
_WORD = re.compile(r"[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """Words of a text in lower case."""
    return _WORD.findall(text.lower())


class TitleIndex:
    """Finds products by the words of their titles, rare words counting more (inverse document frequency)."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._words: list[NDArray[np.int32]] = []
        self._lengths: list[int] = []

    def add(self, titles: list[str]) -> None:
        """Take in the titles of the next products, in the order of their numbers."""
        words = [sorted(set(tokens(title))) for title in titles]
        flat = [self._numbers.setdefault(word, len(self._numbers)) for title in words for word in title]
        self._words.append(np.asarray(flat, dtype=np.int32))
        self._lengths.extend(len(title) for title in words)

    def freeze(self) -> None:
        """Sort the postings; nothing can be added afterwards."""
        words = np.concatenate(self._words)
        products = np.repeat(np.arange(len(self._lengths), dtype=np.int32), self._lengths)
        order = np.argsort(words, kind="stable")
        self._products = products[order]
        self._bounds = np.searchsorted(words[order], np.arange(len(self._numbers) + 1))
        self._words = []

    def scores(self, query: str) -> Floats:
        """(products,) summed weight of the words of the query that the title has."""
        size = len(self._lengths)
        result = np.zeros(size)
        for word in sorted(set(tokens(query))):
            number = self._numbers.get(word)
            if number is not None:
                found = self._products[self._bounds[number] : self._bounds[number + 1]]
                result[found] += np.log(1 + size / len(found))
        return result


@dataclass(frozen=True)
class Pools:
    """The candidates of every query, from which its pages are drawn.

    Attributes:
        products: (queries, pool) numbers, best first.
        scores: (queries, pool) float32, of the old search engine.
        grades: (queries, pool) int8, true grades.
    """

    products: Ints
    scores: NDArray[np.float32]
    grades: NDArray[np.int8]

    @property
    def size(self) -> int:
        """Candidates of a query."""
        return int(self.products.shape[1])


def make_pools(
    catalogue: Catalogue, queries: Queries, index: TitleIndex, page_size: int, rng: np.random.Generator
) -> Pools:
    """Score and cut the candidates of all queries.

    Some queries are also known to hand-kept rules that lead to their type: without them a query in words that no
    title has would show nothing relevant, and nothing could be learned from its clicks.
    """
    size = min(POOL_PER_PAGE * page_size, len(catalogue))
    popularity = np.log(catalogue.popularity)
    popular = POPULARITY_WEIGHT * (popularity - popularity.mean()) / (popularity.std() + 1e-9)
    ruled = rng.random(len(queries)) < RULE_SHARE
    products = np.empty((len(queries), size), dtype=np.int64)
    scores = np.empty((len(queries), size), dtype=np.float32)
    grades = np.empty((len(queries), size), dtype=np.int8)
    for number, query in enumerate(queries.items):
        score = _score(catalogue, query, index, bool(ruled[number])) + popular
        best = np.argpartition(-score, size - 1)[:size]
        best = best[np.lexsort((best, -score[best]))]
        products[number], scores[number], grades[number] = best, score[best], grade(query, catalogue, best)
    return Pools(products, SHARPNESS * scores, grades)


def _score(catalogue: Catalogue, query: Query, index: TitleIndex, ruled: bool) -> Floats:
    # Sublinear, or one rare word would outweigh everything.
    score = np.sqrt(index.scores(query.text))
    return score + RULE_BONUS * (catalogue.type == query.type) if ruled else score
