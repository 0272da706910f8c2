"""Which words of one text stand in the other: what a small language model sees only roughly, said in numbers.

Counted on token ids, and so for every language that the tokenizer reads, and the same in training and serving. Exact
matches beside a cross-encoder: Askari et al. 2023, Injecting the BM25 Score as Text Improves BERT-Based Re-rankers.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from planogram.data.features import FeatureSpec
from planogram.data.text import FIELD_SEPARATOR
from planogram.data.tokenizer import PairTokenizer, Tokens

MATCH = (
    "match.query_in_title",
    "match.query_in_text",
    "match.title_in_query",
    "match.text_in_query",
    "match.bigrams_in_title",
    "match.bigrams_in_text",
    "match.longest_run",
    "match.first_in_title",
    "match.last_in_title",
    "match.last_place",
    "match.numbers_in_text",
    "match.numbers_in_query",
    "match.query_tokens",
    "match.title_tokens",
    "match.text_tokens",
)


class PairMatcher:
    """Compares the two texts of a pair; the title is what stands before the second text's first separator.

    Args:
        tokenizer: whose tokens are compared.
    """

    def __init__(self, tokenizer: PairTokenizer) -> None:
        self._special = tokenizer.special_ids
        self._numbers = tokenizer.number_ids
        self._separator = tokenizer.tokenizer.token_to_id(FIELD_SEPARATOR)

    def frame(self, tokens: Tokens) -> pd.DataFrame:
        """(pairs, MATCH) float64; NaN where there is nothing to compare."""
        rows = [self._row(*pair) for pair in zip(tokens.input_ids, tokens.token_type_ids, strict=True)]
        return pd.DataFrame(np.asarray(rows, dtype=np.float64).reshape(-1, len(MATCH)), columns=list(MATCH))

    def _row(self, ids: Sequence[int], types: Sequence[int]) -> list[float]:
        end = len(types) - sum(types)
        query = [i for i in ids[:end] if i not in self._special]
        text = [i for i in ids[end:] if i not in self._special]
        title = text[: text.index(self._separator)] if self._separator in text else text
        text = [i for i in text if i != self._separator]
        queries, titles, texts = set(query), set(title), set(text)
        bigrams = _bigrams(query)
        return [
            _share(queries, titles),
            _share(queries, texts),
            _share(titles, queries),
            _share(texts, queries),
            _share(bigrams, _bigrams(title)),
            _share(bigrams, _bigrams(text)),
            _longest_run(query, title) / len(query) if query else math.nan,
            float(query[0] in titles) if query else math.nan,
            float(query[-1] in titles) if query else math.nan,
            # The noun of an English title stands late: a lamp shade is a shade.
            (title.index(query[-1]) + 1) / len(title) if query and query[-1] in titles else math.nan,
            _share(queries & self._numbers, texts),
            _share(texts & self._numbers, queries),
            len(query),
            len(title),
            len(text),
        ]


def encode(
    tokenizer: PairTokenizer, spec: FeatureSpec, pairs: Sequence[tuple[str, str]], given: pd.DataFrame
) -> Tokens:
    """Token ids of pairs, with the features that a model takes beside them.

    Args:
        tokenizer: of the model.
        spec: what it takes; matches are counted here.
        pairs: texts.
        given: (pairs,) rows of the other columns.

    Raises:
        DataError: a column is absent.
    """
    tokens = tokenizer.encode(pairs)
    if not spec.width:
        return tokens
    return replace(tokens, features=spec.transform(with_matches(tokenizer, tokens, spec.names, given)))


def with_matches(tokenizer: PairTokenizer, tokens: Tokens, names: Sequence[str], given: pd.DataFrame) -> pd.DataFrame:
    """The rows of `given`, with the matches of their pairs where `names` asks for any."""
    if not is_matched(names):
        return given
    found = PairMatcher(tokenizer).frame(tokens)
    return found if given.columns.empty else pd.concat([given.reset_index(drop=True), found], axis=1)


def is_matched(names: Sequence[str]) -> bool:
    """Whether any of the columns is a match."""
    return not set(MATCH).isdisjoint(names)


def _share(wanted: Set[object], there: Set[object]) -> float:
    return len(wanted & there) / len(wanted) if wanted else math.nan


def _bigrams(tokens: Sequence[int]) -> set[tuple[int, int]]:
    return set(pairwise(tokens))


def _longest_run(query: Sequence[int], title: Sequence[int]) -> int:
    """Length of the longest common substring, by dynamic programming over its ends, of which few differ from 0."""
    places: dict[int, list[int]] = {token: [] for token in query}
    for place, token in enumerate(title):
        if token in places:
            places[token].append(place)
    longest = 0
    before: dict[int, int] = {}
    for token in query:
        before = {place: before.get(place - 1, 0) + 1 for place in places[token]}
        longest = max(longest, *before.values()) if before else longest
    return longest
