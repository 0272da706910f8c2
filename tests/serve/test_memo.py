from dataclasses import replace

import numpy as np
import pytest

from planogram.data.tokenizer import Tokens
from planogram.serve.cache import LocalCache
from planogram.serve.memo import Memo

PAIRS = [("red", "shoes"), ("red", "lamp")]
TOKENS = Tokens([[1, 2], [1, 2, 3]], [[0, 0], [0, 0, 0]], [False, True])
LOGITS = np.asarray([[0.25, -3.5], [1e-8, 7.0]], dtype=np.float32)


@pytest.fixture
def cache():
    return LocalCache(2**20, 60)


def kept(cache, engine="torch-fp32", model="d1"):
    memo = Memo(cache, "scores", engine)
    recall = memo.recall(model, PAIRS, 2)
    assert recall.unknown == [0, 1] and recall.known == 0
    recall.complete(TOKENS, LOGITS)
    memo.keep(recall, recall.unknown)
    return memo


def test_logits_lengths_and_cuts_come_back_as_they_were(cache):
    recall = kept(cache).recall("d1", [PAIRS[1], ("red", "kettle"), PAIRS[0]], 2)
    assert recall.unknown == [1] and recall.known == 2
    assert (recall.rows[[2, 0]] == LOGITS).all()
    assert recall.lengths.tolist() == [3, 0, 2] and recall.truncated == [True, False, False]


@pytest.mark.parametrize(
    ("engine", "model", "pair"),
    [
        ("torch-bf16", "d1", PAIRS[0]),
        ("torch-fp32", "d2", PAIRS[0]),
        ("torch-fp32", "d1", ("redshoes", "")),
        ("torch-fp32", "d1", ("shoes", "red")),
    ],
)
def test_another_engine_model_or_text_is_another_pair(cache, engine, model, pair):
    kept(cache)
    assert Memo(cache, "scores", engine).recall(model, [pair], 2).unknown == [0]


def test_a_row_of_another_shape_is_computed_anew(cache):
    memo = kept(cache)
    assert memo.recall("d1", PAIRS, 3).unknown == [0, 1]


@pytest.mark.parametrize(("known", "said"), [(2, "hit"), (1, "miss"), (None, None)])
def test_the_answer_says_whether_all_of_it_was_remembered(client, backend, monkeypatch, known, said):
    score = backend.score

    async def remembered(*args, **kwargs):
        return replace(await score(*args, **kwargs), known=known)

    monkeypatch.setattr(backend, "score", remembered)
    response = client.post("/v1/rerank", json={"query": "red", "documents": ["a", "b"]})
    assert response.headers.get("x-cache") == said
