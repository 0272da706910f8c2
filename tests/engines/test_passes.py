"""How many threads an engine is called from."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from planogram.data.tokenizer import Tokens
from planogram.engines.base import concurrent_passes, score_tokens


class CountingEngine:
    """Its logits are the lengths of texts; long ones take longer."""

    manifest = SimpleNamespace(heads=("relevance",))

    def __init__(self, passes: int) -> None:
        self.passes = passes
        self.threads: set[int] = set()
        self.most = self._now = 0
        self._lock = threading.Lock()

    def infer(self, tokens):
        self.threads.add(threading.get_ident())
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.001 * max(tokens.lengths))
        with self._lock:
            self._now -= 1
        return np.asarray(tokens.lengths, dtype=np.float32)[:, None]

    def finish(self, logits):
        return logits


@pytest.mark.parametrize("passes", [1, 2])
def test_passes_overlap_where_an_engine_allows_it_and_scores_keep_their_order(passes):
    engine = CountingEngine(passes)
    lengths = [9, 2, 7, 1, 8, 3, 6, 4, 5]
    tokens = Tokens([[1] * length for length in lengths], [[0] * length for length in lengths], [False] * 9)
    seen = []

    def watch(batches):
        for batch in batches:
            seen.extend(batch)
            yield batch

    assert score_tokens(engine, tokens, 9, watch)[:, 0].tolist() == lengths
    assert sorted(seen) == list(range(9))
    assert engine.most == passes
    assert (engine.threads == {threading.get_ident()}) is (passes == 1)


def test_an_engine_of_one_thread_or_of_torch_is_called_from_one():
    assert concurrent_passes("openvino-int8", 2) == 2
    assert concurrent_passes("openvino-int8", 1) == concurrent_passes("torch-fp32", 8) == 1
