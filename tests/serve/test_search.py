import numpy as np
import pytest

from planogram.errors import OverloadedError
from planogram.serve.backend import FailedError, Filters, LateError, Scored, UnavailableError
from planogram.serve.search import rank


def test_ranks_what_the_retriever_found(client):
    answer = client.post("/search", json={"query": "red shoes"}).json()
    assert [result["product_id"] for result in answer["results"]] == ["p-2", "p-3", "p-1"]
    assert [result["position"] for result in answer["results"]] == [1, 2, 3]
    assert answer["degraded"] is False and answer["reason"] is None
    assert answer["model"] == {"name": "fake", "version": 3, "digest": "0123456789abcdef"}
    assert answer["took_ms"] > 0
    best = answer["results"][0]
    assert best["title"] == "red shoes" and best["price"] == 20.0 and best["stock"] == 5
    assert best["list_price"] is None
    assert best["score"] == best["signals"]["relevance"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert best["signals"]["click"] == 4.0


def test_a_query_without_candidates_answers_without_results(client, backend, monkeypatch):
    async def nothing(query, filters, limit):
        return []

    monkeypatch.setattr(backend, "retrieve", nothing)
    answer = client.post("/search", json={"query": "zzz"}).json()
    assert answer["results"] == [] and answer["degraded"] is False


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OverloadedError("full"), "ranker_overloaded"),
        (LateError("late"), "ranker_late"),
        (UnavailableError("gone"), "ranker_unavailable"),
        (FailedError("broken"), "ranker_failed"),
    ],
)
def test_without_a_ranker_the_retriever_answers_and_the_response_says_so(client, backend, error, reason):
    backend.ranker_error = error
    response = client.post("/search", json={"query": "red", "top_k": 2})
    answer = response.json()
    assert response.status_code == 200
    assert answer["degraded"] is True and answer["reason"] == reason
    assert [result["product_id"] for result in answer["results"]] == ["p-1", "p-2"]
    assert [(result["score"], result["signals"]) for result in answer["results"]] == [(None, {})] * 2


def test_without_a_retriever_there_is_no_answer(client, backend):
    backend.retriever_error = OverloadedError("the retriever has too many requests")
    response = client.post("/search", json={"query": "red"})
    assert response.status_code == 503 and response.headers["retry-after"] == "1"


def test_given_candidates_are_ranked_and_unknown_ones_named(client):
    body = {"query": "red", "candidates": ["p-1", "p-9", "p-3", "p-1"]}
    answer = client.post("/search", json=body).json()
    assert [result["product_id"] for result in answer["results"]] == ["p-3", "p-1"]
    assert answer["unknown_candidates"] == ["p-9"]


def test_filters_and_limits_reach_the_retriever(client, backend):
    filters = {"price_min": 1, "price_max": 9.5, "brand": ["Acme"], "category": ["A", "B"], "in_stock": True}
    client.post("/search", json={"query": "red", "filters": filters, "num_candidates": 7})
    assert backend.seen == [("red", Filters(1.0, 9.5, ("Acme",), ("A", "B"), True), 7)]


def test_the_retriever_finds_at_least_top_k(make_client, backend):
    make_client(retriever={"candidates": 5}).post("/search", json={"query": "red", "top_k": 20})
    assert backend.seen[0][2] == 20


def test_two_answers_have_two_ranking_ids(client):
    ids = {client.post("/search", json={"query": "red"}).json()["ranking_id"] for _ in range(2)}
    assert len(ids) == 2


def test_ties_keep_the_retrievers_order(backend):
    products = [{"product_id": str(number), "title": "t"} for number in range(20)]
    scored = Scored(
        np.ones((20, 2), dtype=np.float32), [False] * 20, 1, backend.model, np.ones((20, 2), dtype=np.float32)
    )
    assert [result.product_id for result in rank(products, scored, 20)] == [str(number) for number in range(20)]


def test_routes_that_are_not_named_do_not_exist(make_client):
    client = make_client(routes=["rerank"])
    assert client.post("/search", json={"query": "red"}).status_code == 404
