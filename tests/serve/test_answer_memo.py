"""Whole answers: which are remembered, and when they are not given again."""

import asyncio
from dataclasses import replace

import pytest

from planogram.serve.answer_memo import AnswerMemo, Catalogue
from planogram.serve.answers import ANSWER_EXAMPLE, Model, SearchResponse
from planogram.serve.cache import LocalCache
from planogram.serve.call import Call
from planogram.serve.policy import Policy, PolicyArgs
from planogram.serve.schemas import SearchRequest
from planogram.serve.values import FailedError

from .conftest import MODEL

SEARCH = {"query": "red shoes", "top_k": 2}


@pytest.fixture
def remembering(backend, monkeypatch):
    monkeypatch.setattr(backend, "catalogue", "c1")
    return backend


def asked(client, body, path="/search"):
    response = client.post(path, json=body)
    assert response.status_code == 200
    return response.headers.get("X-Cache"), response.json()


def without_ids(answer):
    return {name: value for name, value in answer.items() if name not in ("ranking_id", "request_id", "took_ms")}


def test_the_same_request_gets_the_same_answer_without_work_and_under_new_ids(client, remembering):
    first, answer = asked(client, SEARCH)
    work = len(remembering.seen)
    again, remembered = asked(client, {**SEARCH, "user_id": "u-1"})
    assert first != "hit" and again == "hit"
    assert without_ids(answer) == without_ids(remembered)
    assert answer["ranking_id"] != remembered["ranking_id"] and answer["request_id"] != remembered["request_id"]
    assert len(remembering.seen) == work


def test_another_request_is_another_answer(client, remembering):
    asked(client, SEARCH)
    for body in ({**SEARCH, "top_k": 1}, {**SEARCH, "query": "red"}, {**SEARCH, "filters": {"in_stock": True}}):
        assert asked(client, body)[0] != "hit"


def test_recommendations_are_those_of_one_shopper(client, remembering):
    body = {"user_id": "u-1", "history": ["p-2"]}
    asked(client, body, "/recommend")
    assert asked(client, {**body, "user_id": "u-2"}, "/recommend")[0] != "hit"
    assert asked(client, body, "/recommend")[0] == "hit"


@pytest.mark.parametrize(
    "change",
    [
        {"catalogue": "c2"},
        {"catalogue": ""},
        {"model": replace(MODEL, version=4, digest="another")},
        {"policy": Policy.of(PolicyArgs(diversity={"weight": 0.5}), MODEL)},
    ],
    ids=["changed products", "changing products", "promoted model", "other weights"],
)
def test_an_answer_is_forgotten_with_what_it_was_made_of(client, remembering, monkeypatch, change):
    asked(client, SEARCH)
    assert asked(client, SEARCH)[0] == "hit"
    for name, value in change.items():
        monkeypatch.setattr(remembering, name, value)
    assert asked(client, SEARCH)[0] != "hit"


def test_a_degraded_answer_is_not_remembered(client, remembering, monkeypatch):
    monkeypatch.setattr(remembering, "ranker_error", FailedError("no"))
    assert asked(client, SEARCH)[1]["degraded"]
    monkeypatch.setattr(remembering, "ranker_error", None)
    cache, answer = asked(client, SEARCH)
    assert cache != "hit" and not answer["degraded"]


def test_an_explanation_is_always_made(client, remembering):
    for _ in range(2):
        cache, answer = asked(client, {**SEARCH, "explain": True})
        assert cache != "hit" and answer["results"][0]["explanation"]


def test_a_catalogue_counts_once_all_replicas_must_have_it():
    now = [0.0]
    catalogue = Catalogue(2.0, lambda: now[0])
    assert catalogue.version == ""
    for at, told, version in ((0, "a", ""), (1.9, "a", ""), (2, "a", "a"), (3, "b", ""), (4.9, "b", ""), (5, "b", "b")):
        now[0] = at
        catalogue.told(told)
        assert catalogue.version == version
    catalogue.told("")
    now[0] = 100
    assert catalogue.version == "", "the retriever does not answer"


def test_another_application_that_shares_the_cache_has_other_answers(remembering):
    cache, made = LocalCache(2**20, 60), []

    async def answers(args):
        async def compute():
            made.append(args)
            return SearchResponse.model_validate({**ANSWER_EXAMPLE, "facets": {}, "model": Model.of(MODEL)})

        memo = AnswerMemo(cache, remembering, args)
        return await memo.answer("search", SearchResponse, SearchRequest(query="red"), Call.begin(None), compute)

    for args in ("a", "a", "b"):
        asyncio.run(answers(args))
    assert made == ["a", "b"]
