"""What a model computed before of the same texts on the same engine: logits of pairs, vectors of single texts."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats
from planogram.serve import metrics
from planogram.serve.cache import Cache, key_of

#: of an input: how many tokens it has, and whether it was cut; its row of numbers follows
HEADER = struct.Struct("<I?")


@dataclass(eq=False)
class Recall:
    """What is known of the inputs of a request, pairs or single texts; the rest is to be computed.

    Attributes:
        keys: of the inputs; empty: there is no cache.
        rows: (inputs, columns) float32.
        lengths: (inputs,) tokens of each.
        truncated: whether each was cut.
        unknown: places of the inputs that are to be computed.
    """

    keys: list[bytes]
    rows: Floats
    lengths: npt.NDArray[np.int64]
    truncated: list[bool]
    unknown: list[int]

    @classmethod
    def nothing(cls, inputs: int, columns: int, keys: Sequence[bytes] = ()) -> "Recall":
        """Of inputs of which nothing is known."""
        rows = np.zeros((inputs, columns), dtype=np.float32)
        return cls(list(keys), rows, np.zeros(inputs, dtype=np.int64), [False] * inputs, list(range(inputs)))

    @property
    def known(self) -> int | None:
        """How many inputs were known; None: there is no cache."""
        return len(self.truncated) - len(self.unknown) if self.keys else None

    def complete(self, tokens: Tokens, rows: Floats) -> None:
        """Fill in what was computed.

        Args:
            tokens: of the unknown inputs.
            rows: (unknown inputs, columns) float32.
        """
        self.rows[self.unknown] = rows
        self.lengths[self.unknown] = tokens.lengths
        for place, cut in zip(self.unknown, tokens.truncated, strict=True):
            self.truncated[place] = cut


class Memo:
    """Remembers rows.

    Args:
        cache: where.
        name: of what is remembered; another name's rows are other ones.
        engine: that computes: another one rounds otherwise.
    """

    def __init__(self, cache: Cache, name: Literal["scores", "vectors"], engine: str) -> None:
        self._cache = cache
        self._name = name
        self._engine = engine

    def recall(self, model: str, inputs: Sequence[Sequence[str]], columns: int) -> Recall:
        """What is known of inputs.

        Args:
            model: digest of the bundle.
            inputs: the texts of each, as the model reads them.
            columns: of a row.
        """
        keys = [key_of(self._name, model, self._engine, *texts) for texts in inputs]
        recall = Recall.nothing(len(inputs), columns, keys)
        size = HEADER.size + 4 * columns
        recall.unknown = []
        for place, row in enumerate(self._cache.get(keys)):
            if row is None or len(row) != size:
                recall.unknown.append(place)
                continue
            recall.lengths[place], recall.truncated[place] = HEADER.unpack_from(row)
            recall.rows[place] = np.frombuffer(row, dtype="<f4", offset=HEADER.size)
        metrics.count_lookups(self._name, hits=len(inputs) - len(recall.unknown), misses=len(recall.unknown))
        return recall

    def keep(self, recall: Recall, places: Sequence[int]) -> None:
        """Remember inputs of a complete recall."""
        self._cache.put(
            {
                recall.keys[place]: HEADER.pack(int(recall.lengths[place]), recall.truncated[place])
                + recall.rows[place].astype("<f4").tobytes()
                for place in places
            }
        )
