from dataclasses import replace

import pytest

from planogram.errors import OverloadedError
from planogram.serve.values import LateError


def ask(client, **body):
    response = client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def shown(answer):
    return [result["product_id"] for result in answer["results"]]


def test_without_a_shopper_the_popular_products_answer(client):
    answer = ask(client)
    assert answer["source"] == "popular" and shown(answer) == ["p-1", "p-2", "p-3"]
    assert answer["degraded"] is False and answer["reason"] is None
    assert answer["model"]["name"] == "fake" and answer["ranking_id"] and answer["took_ms"] > 0


def test_a_known_shopper_sees_what_comes_next_and_not_what_is_owned(client, backend):
    answer = ask(client, user_id="u-1")
    assert answer["source"] == "history" and shown(answer) == ["p-3", "p-2"]
    assert answer["degraded"] is False
    assert backend.seen == [("recommend", ["p-1"], ["p-1"], 50)]


def test_the_visit_comes_after_what_was_bought(client, backend):
    assert shown(ask(client, user_id="u-1", history=["p-2"])) == ["p-3"]
    assert backend.seen[0][1] == ["p-1", "p-2"]


def test_a_product_that_was_had_twice_stands_where_it_was_had_last(client, backend):
    ask(client, history=["p-2", "p-1", "p-2"])
    assert backend.seen[0][1] == ["p-1", "p-2"]


def test_owned_products_are_shown_where_that_is_asked_for(client):
    assert shown(ask(client, user_id="u-1", history=["p-2"], exclude_owned=False)) == ["p-3", "p-1"]


def test_similar_products_and_those_that_go_with_one_are_apart(client):
    similar = ask(client, product_id="p-2")
    assert similar["source"] == "similar" and shown(similar) == ["p-3"]
    beside = ask(client, product_id="p-2", relation="complementary")
    assert beside["source"] == "complementary" and shown(beside) == ["p-3", "p-1"]


def test_the_product_of_the_page_is_never_recommended(client, backend):
    backend.bought_after["p-2"] = ["p-2", "p-3"]
    body = {"product_id": "p-2", "relation": "complementary", "exclude_owned": False}
    assert shown(ask(client, **body)) == ["p-3"]


@pytest.mark.parametrize(
    ("body", "source", "reason", "products"),
    [
        ({"user_id": "u-9"}, "popular", "unknown_user", ["p-1", "p-2", "p-3"]),
        ({"history": ["p-9"]}, "popular", "unknown_history", ["p-1", "p-2", "p-3"]),
        ({"history": ["p-3"]}, "popular", "no_history", ["p-1", "p-2"]),
        ({"product_id": "p-9"}, "popular", "unknown_product", ["p-1", "p-2", "p-3"]),
        ({"product_id": "p-9", "user_id": "u-1"}, "history", "unknown_product", ["p-3", "p-2"]),
        ({"product_id": "p-3", "relation": "complementary"}, "similar", "no_complementary", ["p-2"]),
        ({"product_id": "p-1"}, "popular", "no_similar", ["p-2", "p-3"]),
    ],
)
def test_a_fallback_says_why_it_answers(client, body, source, reason, products):
    answer = ask(client, **body)
    assert (answer["source"], answer["reason"], answer["degraded"]) == (source, reason, True)
    assert shown(answer) == products


def test_an_unknown_shopper_with_a_visit_needs_no_fallback(client):
    answer = ask(client, user_id="u-9", history=["p-2"])
    assert answer["source"] == "history" and answer["reason"] is None


def test_filters_and_limits_hold(client):
    assert shown(ask(client, user_id="u-1", filters={"in_stock": True})) == ["p-2"]
    assert shown(ask(client, top_k=1)) == ["p-1"]


def test_given_candidates_are_ranked_without_the_owned_ones(client):
    answer = ask(client, user_id="u-1", candidates=["p-1", "p-3", "p-9", "p-2"])
    assert answer["source"] == "candidates" and shown(answer) == ["p-3", "p-2"]
    assert answer["unknown_candidates"] == ["p-1", "p-9"]


def test_the_ranker_is_asked_only_where_one_of_its_heads_counts(client, backend):
    backend.ranker_error = OverloadedError("full")
    answer = ask(client, user_id="u-1")
    assert answer["degraded"] is False
    assert [result["score"] for result in answer["results"]] == [1.0, 0.5]


@pytest.fixture
def asked(backend, monkeypatch):
    """Texts that the ranker was asked with."""
    texts = []
    score = backend.score

    async def listening(query, documents, timeout_s=None):
        texts.append(query)
        return await score(query, documents, timeout_s)

    monkeypatch.setattr(backend, "score", listening)
    return texts


def test_a_history_is_ranked_as_training_wrote_it(client, backend, asked):
    backend.set_policy(blend={"recommend": {"relevance": 1.0}})
    backend.bought_after["p-2"] = ["p-1", "p-3"]
    answer = ask(client, history=["p-9", "p-2"], explain=True)
    assert asked == ["had: red shoes"]
    # "red" is shared with the shirt.
    assert shown(answer) == ["p-3", "p-1"]
    best = answer["results"][0]
    assert best["score"] == best["signals"]["relevance"] == best["explanation"]["signals"]["relevance"]["contribution"]


def test_a_products_page_is_ranked_by_its_title(client, backend, asked):
    backend.set_policy(blend={"recommend": {"relevance": 1.0}})
    ask(client, product_id="p-2", user_id="u-1")
    assert asked == ["red shoes"]


def test_a_head_that_learned_from_histories_reads_one(client, backend, asked):
    backend.model = replace(backend.model, heads=("relevance", "preference"))
    backend.set_policy()
    ask(client, product_id="p-2", user_id="u-1")
    assert asked == ["had: red shoes; blue lamp"]


def test_without_the_ranker_the_retriever_answers_and_the_response_says_so(client, backend):
    backend.set_policy(blend={"recommend": {"relevance": 1.0}})
    backend.ranker_error = LateError("late")
    answer = ask(client, user_id="u-1")
    assert answer["degraded"] is True and answer["reason"] == "ranker_late"
    assert shown(answer) == ["p-3", "p-2"]
    assert [result["score"] for result in answer["results"]] == [None, None]


def test_rules_are_for_the_routes_they_name(client, backend):
    rules = [
        {"name": "both", "hide": {"product_ids": ["p-1"]}},
        {"name": "search-alone", "when": {"routes": ["search"]}, "hide": {"product_ids": ["p-2"]}},
        {"name": "query", "when": {"query": {"contains": ["red"]}}, "hide": {"product_ids": ["p-3"]}},
    ]
    backend.set_policy(rules=rules)
    assert shown(ask(client)) == ["p-2", "p-3"]


def test_a_pin_does_not_show_what_is_owned(client, backend):
    backend.set_policy(rules=[{"name": "r", "pin": [{"product_id": "p-1", "position": 1}]}])
    assert shown(ask(client, history=["p-2"], candidates=None)) == ["p-1", "p-3"]
    assert shown(ask(client, user_id="u-1")) == ["p-3", "p-2"]


def test_a_pin_that_was_not_found_stands_at_its_place(client, backend):
    backend.bought_after["p-1"] = ["p-3"]
    backend.set_policy(rules=[{"name": "r", "pin": [{"product_id": "p-2", "position": 1}]}])
    assert shown(ask(client, user_id="u-1")) == ["p-2", "p-3"]


@pytest.mark.parametrize("body", [{"history": [1]}, {"relation": "other"}, {"user": "u"}, {"history": ["p"] * 501}])
def test_what_does_not_fit_is_refused(client, body):
    response = client.post("/recommend", json=body)
    assert response.status_code == 422 and response.json()["error"]["type"] == "validation"


def test_routes_that_are_not_named_do_not_exist(make_client):
    assert make_client(routes=["search"]).post("/recommend", json={}).status_code == 404


def test_products_need_a_shop():
    from planogram.errors import ConfigError
    from planogram.serve.settings import AppArgs

    with pytest.raises(ConfigError, match="recommend needs `shop`"):
        AppArgs.model_validate({"ranker": "r", "routes": ["recommend"]})
