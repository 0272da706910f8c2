from dataclasses import replace

import numpy as np
import pytest

from planogram.errors import OverloadedError
from planogram.serve.blend import Blend
from planogram.serve.order import arrange
from planogram.serve.rules import ActiveRules
from planogram.serve.values import FailedError, Filters, LateError, Retrieved, Scored, UnavailableError


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
    async def nothing(query, filters, limit, facets):
        return Retrieved([])

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
    assert [(result["score"], result["signals"]) for result in answer["results"]] == [
        (None, {}),
        (None, {"sentiment": 0.9}),
    ]


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
    filters = {
        "price_min": 1,
        "price_max": 9.5,
        "brand": ["Acme"],
        "category": ["A", "B"],
        "locale": ["en"],
        "in_stock": True,
    }
    client.post("/search", json={"query": "red", "filters": filters, "num_candidates": 7})
    assert backend.seen == [("red", Filters(1.0, 9.5, ("Acme",), ("A", "B"), ("en",), in_stock=True), 7)]


def test_the_retriever_finds_at_least_top_k(make_client, backend):
    make_client(retriever={"candidates": 5}).post("/search", json={"query": "red", "top_k": 20})
    assert backend.seen[0][2] == 20


def test_two_answers_have_two_ranking_ids(client):
    ids = {client.post("/search", json={"query": "red"}).json()["ranking_id"] for _ in range(2)}
    assert len(ids) == 2


def test_ties_keep_the_retrievers_order(backend):
    products = [{"product_id": str(number), "title": "t"} for number in range(20)]
    ones = np.ones((20, 2), dtype=np.float32)
    scored = Scored(ones, [False] * 20, 1, backend.model, ones)
    placed = arrange(products, scored, Blend({"relevance": 1.0}), ActiveRules(()), 0.0, 20).placed
    assert [result.product["product_id"] for result in placed] == [str(number) for number in range(20)]


def test_routes_that_are_not_named_do_not_exist(make_client):
    client = make_client(routes=["rerank"])
    assert client.post("/search", json={"query": "red"}).status_code == 404


def test_the_order_is_by_the_weighted_sum_and_the_answer_explains_it(make_client):
    client = make_client(blend={"weights": {"relevance": 1.0, "popularity": 2.0, "margin": 0.5}})
    answer = client.post("/search", json={"query": "red shoes", "explain": True}).json()
    assert [result["product_id"] for result in answer["results"]] == ["p-1", "p-2", "p-3"]
    for result in answer["results"]:
        parts = result["explanation"]["signals"]
        assert sum(part["contribution"] for part in parts.values()) == pytest.approx(result["score"])
        assert parts["popularity"]["weight"] == 2.0
    assert answer["results"][0]["explanation"]["signals"]["popularity"]["value"] == 1.0


def test_an_answer_never_tells_what_a_product_costs(make_client):
    client = make_client(blend={"weights": {"margin": 1.0}})
    response = client.post("/search", json={"query": "red shoes", "explain": True})
    assert "cost" not in response.text
    (margins,) = {tuple(r["explanation"]["signals"]["margin"].items())[:2] for r in response.json()["results"]}
    assert margins == (("value", None), ("weight", None))


def test_contributions_of_rules_and_signals_sum_to_the_score(client, backend):
    backend.set_policy(
        blend={"weights": {"relevance": 1.0, "popularity": -3.0}},
        rules=[
            {"name": "more-acme", "boost": {"where": {"brand": ["Acme"]}, "factor": 2.0}},
            {"name": "cheap", "boost": {"where": {"price_max": 15.0}, "factor": 0.5}},
        ],
    )
    answer = client.post("/search", json={"query": "red shoes", "explain": True}).json()
    for result in answer["results"]:
        parts = [*result["explanation"]["signals"].values(), *result["explanation"]["rules"]]
        assert sum(part["contribution"] for part in parts) == pytest.approx(result["score"])
    (lamp,) = [result for result in answer["results"] if result["product_id"] == "p-1"]
    assert [rule["name"] for rule in lamp["explanation"]["rules"]] == ["more-acme", "cheap"]


def test_without_explain_there_is_no_explanation(client):
    answer = client.post("/search", json={"query": "red shoes"}).json()
    assert {result["explanation"] for result in answer["results"]} == {None}


def test_words_say_what_they_do_to_the_score(client):
    best = client.post("/search", json={"query": "red shoes", "explain": True}).json()["results"][0]
    tokens = {(token["field"], token["token"]): token["weight"] for token in best["explanation"]["tokens"]}
    assert best["product_id"] == "p-2"
    assert set(tokens) == {("query", "red"), ("query", "shoes"), ("title", "red"), ("title", "shoes")}
    assert all(weight > 0 for weight in tokens.values())


def test_without_words_the_answer_says_so_and_keeps_its_order(client, backend):
    backend.explain_error = LateError("late")
    answer = client.post("/search", json={"query": "red shoes", "explain": True}).json()
    assert answer["degraded"] is True and answer["reason"] == "explanation_late"
    assert [result["product_id"] for result in answer["results"]] == ["p-2", "p-3", "p-1"]
    assert all(result["explanation"]["tokens"] is None for result in answer["results"])
    assert all(result["score"] is not None for result in answer["results"])


def test_facets_that_are_asked_for_are_counted(client):
    answer = client.post("/search", json={"query": "red", "facets": ["price", "brand"]}).json()
    assert answer["facets"] == {
        "price": [{"min": 10.0, "max": 30.0, "count": 3}],
        "brand": [{"value": "Acme", "count": 2}],
    }
    assert client.post("/search", json={"query": "red"}).json()["facets"] == {}


@pytest.mark.parametrize(
    "body", [{"facets": ["size"]}, {"facets": ["brand", "brand"]}, {"facets": ["brand"], "candidates": ["p-1"]}]
)
def test_facets_that_cannot_be_counted_are_refused(client, body):
    response = client.post("/search", json={"query": "red", **body})
    assert response.status_code == 422 and "facets" in response.json()["error"]["message"]


def test_a_misspelt_query_is_ranked_and_ruled_as_corrected(client, backend):
    backend.set_policy(rules=[{"name": "r", "when": {"query": {"exact": ["red shoes"]}}, "hide": {"brand": ["Acme"]}}])
    answer = client.post("/search", json={"query": "read shoes"}).json()
    assert answer["corrected_query"] == "red shoes"
    assert [result["product_id"] for result in answer["results"]] == ["p-3"]
    assert answer["results"][0]["score"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_request_may_say_how_different_results_are(client):
    alike = client.post("/search", json={"query": "red shoes"}).json()["results"]
    mixed = client.post("/search", json={"query": "red shoes", "diversity": 0.9, "explain": True}).json()["results"]
    assert [result["product_id"] for result in alike] == ["p-2", "p-3", "p-1"]
    assert sorted(result["product_id"] for result in mixed) == ["p-1", "p-2", "p-3"]
    assert mixed[0]["product_id"] == "p-2" and mixed[0]["explanation"]["diversity_penalty"] == 0
    assert any(result["explanation"]["diversity_penalty"] > 0 for result in mixed[1:])
    assert client.post("/search", json={"query": "red", "diversity": 1.5}).status_code == 422


def test_a_model_that_lacks_a_signal_of_the_blend_does_not_order_unnoticed(client, backend):
    backend.set_policy(blend={"weights": {"click": 1.0}})
    backend.model = replace(backend.model, heads=("relevance", "purchase"))
    answer = client.post("/search", json={"query": "red shoes"}).json()
    assert answer["degraded"] is True and answer["reason"] == "signal_missing"
    assert [result["product_id"] for result in answer["results"]] == ["p-1", "p-2", "p-3"]
    assert {result["score"] for result in answer["results"]} == {None}
