"""Scores of pairs that were computed before: of the same texts, by the same model on the same engine."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats, Pair
from planogram.serve import metrics
from planogram.serve.cache import Cache, key_of

#: of a pair: how many tokens it has, and whether it was cut; its logits follow
HEADER = struct.Struct("<I?")
NAME = "scores"


@dataclass(eq=False)
class Recall:
    """What is known of the pairs of a request; the rest is to be computed.

    Attributes:
        keys: of the pairs; empty: there is no cache.
        logits: (pairs, heads) float32.
        lengths: (pairs,) tokens of each.
        truncated: whether each was cut.
        unknown: places of the pairs that are to be computed.
    """

    keys: list[bytes]
    logits: Floats
    lengths: npt.NDArray[np.int64]
    truncated: list[bool]
    unknown: list[int]

    @classmethod
    def nothing(cls, pairs: int, heads: int, keys: Sequence[bytes] = ()) -> "Recall":
        """Of pairs of which nothing is known."""
        logits = np.zeros((pairs, heads), dtype=np.float32)
        return cls(list(keys), logits, np.zeros(pairs, dtype=np.int64), [False] * pairs, list(range(pairs)))

    @property
    def known(self) -> int | None:
        """How many pairs were known; None: there is no cache."""
        return len(self.truncated) - len(self.unknown) if self.keys else None

    def complete(self, tokens: Tokens, logits: Floats) -> None:
        """Fill in what was computed.

        Args:
            tokens: of the unknown pairs.
            logits: (unknown pairs, heads) float32.
        """
        self.logits[self.unknown] = logits
        self.lengths[self.unknown] = tokens.lengths
        for place, cut in zip(self.unknown, tokens.truncated, strict=True):
            self.truncated[place] = cut


class ScoreMemo:
    """Remembers pairs.

    Args:
        cache: where.
        engine: that computes: another one rounds otherwise.
    """

    def __init__(self, cache: Cache, engine: str) -> None:
        self._cache = cache
        self._engine = engine

    def recall(self, model: str, pairs: Sequence[Pair], heads: int) -> Recall:
        """What is known of pairs.

        Args:
            model: digest of the bundle.
            pairs: texts as the model reads them.
            heads: of the model.
        """
        keys = [key_of(NAME, model, self._engine, *pair) for pair in pairs]
        recall = Recall.nothing(len(pairs), heads, keys)
        size = HEADER.size + 4 * heads
        recall.unknown = []
        for place, row in enumerate(self._cache.get(keys)):
            if row is None or len(row) != size:
                recall.unknown.append(place)
                continue
            recall.lengths[place], recall.truncated[place] = HEADER.unpack_from(row)
            recall.logits[place] = np.frombuffer(row, dtype="<f4", offset=HEADER.size)
        metrics.count_lookups(NAME, hits=len(pairs) - len(recall.unknown), misses=len(recall.unknown))
        return recall

    def keep(self, recall: Recall, places: Sequence[int]) -> None:
        """Remember pairs of a complete recall."""
        self._cache.put(
            {
                recall.keys[place]: HEADER.pack(int(recall.lengths[place]), recall.truncated[place])
                + recall.logits[place].astype("<f4").tobytes()
                for place in places
            }
        )
