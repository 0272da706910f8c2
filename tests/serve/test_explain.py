"""What each word does to a score, asked of a ranker without a cluster."""

import asyncio

import pytest

from planogram.serve.ranker import Ranker
from planogram.serve.resolve import resolve
from planogram.serve.settings import EngineArgs


@pytest.fixture(scope="module")
def ranker(tiny_bundle):
    return Ranker(EngineArgs(threads=1), resolve(str(tiny_bundle)))


def test_a_words_weight_is_what_the_score_loses_without_it(ranker):
    documents = [{"product_id": "a", "title": "red leather shoes", "brand": "Acme"}, "blue lamp"]

    async def ask():
        explained = await ranker.explain("red shoes", documents)
        whole = await ranker.score("red shoes", documents)
        without = await ranker.score("shoes", documents)
        retitled = await ranker.score("red shoes", [{**documents[0], "title": "red leather"}])
        return explained, whole.values[:, 0], without.values[:, 0], retitled.values[0, 0]

    (first, second), whole, without, retitled = asyncio.run(ask())
    assert [token.token for token in first] == ["red", "shoes", "red", "leather", "shoes"]
    assert [token.token for token in second] == ["red", "shoes", "blue", "lamp"]
    assert first[0].weight == pytest.approx(whole[0] - without[0], abs=1e-5)
    assert second[0].weight == pytest.approx(whole[1] - without[1], abs=1e-5)
    assert first[-1].weight == pytest.approx(whole[0] - retitled, abs=1e-5)
