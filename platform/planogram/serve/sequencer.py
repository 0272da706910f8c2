"""What a shopper takes next, by a sequence model: the products of the catalogue in the order of its likelihood."""

import math
from collections.abc import Sequence

import numpy as np

from planogram.serve.values import FailedError

# What stands further back is as good as never taken, and a large catalogue would take long to write out.
MAX_RANKED = 10_000


class Sequencer:
    """A loaded sequence bundle. For the thread that made it: torch counts its threads per calling thread.

    Args:
        uri: the bundle.
        threads: of one inference.

    Raises:
        IntegrityError: the bundle does not verify.
        ConfigError: it is no sequence model.
    """

    def __init__(self, uri: str, threads: int) -> None:
        import torch

        from planogram.engines.sequence import SequenceEngine

        torch.set_num_threads(threads)
        self._uri = uri
        self._engine = SequenceEngine(uri)
        #: a history that it knows
        self.known = self._engine.items[:1]

    def rank(self, history: Sequence[str], exclude: Sequence[str]) -> dict[str, float]:
        """Product id -> how likely it comes next, of the likeliest one's chance: in 0..1, best first.

        Args:
            history: product ids, oldest first; those that the model does not know are passed over.
            exclude: ids that are not wanted.

        Returns:
            At most `MAX_RANKED` products; none where the model knows nothing of the history.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        if self._engine.numbers.keys().isdisjoint(history):
            return {}
        ids, logs = self._engine.recommend([history], MAX_RANKED, [exclude])
        if np.isnan(logs).any():
            raise FailedError(f"{self._uri} gave a score that is not a number")
        ranked = [(name, log) for name, log in zip(ids[0], logs[0].tolist(), strict=True) if log > -math.inf]
        return {name: math.exp(log - ranked[0][1]) for name, log in ranked}
