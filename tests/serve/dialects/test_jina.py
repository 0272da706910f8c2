from dataclasses import replace

import pytest

from planogram.serve.values import Following

from ..conftest import MODEL

DOCUMENTS = ["blue lamp", {"text": "red <b>shoes</b>"}, "red one two three four five six seven"]


def test_jina_answers_in_jinas_words(client):
    body = {"model": "fake", "query": "red shoes", "documents": DOCUMENTS[:2], "top_n": 1}
    response = client.post("/v1/rerank", json=body, headers={"X-Request-ID": "abc-1"})
    assert response.json() == {
        "model": "fake",
        "id": "abc-1",
        "usage": {"total_tokens": 8, "prompt_tokens": 8},
        "results": [{"index": 1, "relevance_score": pytest.approx(0.880797), "document": {"text": "red <b>shoes</b>"}}],
    }


def test_a_cut_document_says_so(client):
    results = client.post("/v1/rerank", json={"query": "red", "documents": DOCUMENTS}).json()["results"]
    assert {result["index"]: result.get("truncated") for result in results} == {0: None, 1: None, 2: True}


@pytest.mark.parametrize("top_n", [0, 3, 99])
def test_zero_or_many_is_all(client, top_n):
    body = {"query": "red", "documents": DOCUMENTS, "top_n": top_n}
    assert len(client.post("/v1/rerank", json=body).json()["results"]) == 3


def test_documents_can_be_left_out(client):
    body = {"query": "red", "documents": DOCUMENTS, "return_documents": False}
    assert all("document" not in result for result in client.post("/v1/rerank", json=body).json()["results"])


@pytest.mark.parametrize("name", ["fake", "fake:3", "fake@champion"])
def test_the_served_model_has_three_names(client, name):
    answer = client.post("/v1/rerank", json={"model": name, "query": "red", "documents": ["a"]})
    assert answer.status_code == 200 and answer.json()["model"] == name


def test_another_model_is_not_found_and_the_served_ones_are_named(client):
    response = client.post("/v1/rerank", json={"model": "fake:4", "query": "red", "documents": ["a"]})
    assert response.status_code == 404
    assert "fake, fake:3, fake@champion" in response.json()["error"]["message"]


def test_names_of_all_versions_that_answer_are_known(client, backend):
    backend.model = replace(backend.model, others=(2,))
    for name in ("fake:2", "fake:3"):
        assert name in client.get("/v1/models").json()["data"][0]["names"]
    assert client.post("/v1/rerank", json={"model": "fake:4", "query": "red", "documents": ["a"]}).status_code == 404


def test_a_version_that_is_being_replaced_is_never_answered_by_another(client, backend):
    backend.model = replace(backend.model, others=(2,))
    response = client.post("/v1/rerank", json={"model": "fake:2", "query": "red", "documents": ["a"]})
    assert response.status_code == 503 and response.headers["retry-after"] == "1"
    assert "fake:3 takes the place of fake:2" in response.json()["error"]["message"]


def test_the_canarys_answer_names_the_canary(client, backend):
    backend.canary = True
    for asked in ({}, {"model": "fake@champion"}):
        body = {"query": "red", "documents": ["a"], **asked}
        assert client.post("/v1/rerank", json=body).json()["model"] == "fake:3"


def test_models_say_what_is_wanted_and_why_it_is_not_served(client, backend):
    card = client.get("/v1/models").json()["data"][0]
    assert (card["version"], card["digest"]) == (3, "0123456789abcdef") and "wanted" not in card
    backend.follows = [Following(MODEL, 4, "model.safetensors is damaged")]
    card = client.get("/v1/models").json()["data"][0]
    assert (card["version"], card["wanted"], card["problem"]) == (3, 4, "model.safetensors is damaged")


def test_a_canary_is_listed_with_its_share(client, backend):
    share = {"percent": 10.0, "answered": 7, "missed": 1}
    backend.follows = [Following(MODEL, 3), Following(replace(MODEL, version=4), 4, canary=share)]
    main, canary, _ = client.get("/v1/models").json()["data"]
    assert canary["canary"] == share and canary["names"] == [] and "canary" not in main
