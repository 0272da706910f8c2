from dataclasses import replace

import pytest

BODY = {"model": "fake", "query": "red shoes", "documents": ["blue lamp", "red shoes", "red chair"]}


def test_it_answers_in_coheres_words(client):
    response = client.post("/v2/rerank", json={**BODY, "top_n": 2}, headers={"X-Request-ID": "abc-1"})
    assert response.json() == {
        "id": "abc-1",
        "results": [
            {"index": 1, "relevance_score": pytest.approx(0.880797)},
            {"index": 2, "relevance_score": pytest.approx(0.731059)},
        ],
        "meta": {"api_version": {"version": "2", "is_experimental": False}, "billed_units": {"search_units": 1}},
    }


def test_a_cut_document_is_in_its_result_and_in_the_warnings(client):
    body = {"query": "red", "documents": ["red lamp", "one two three four five six seven eight"]}
    answer = client.post("/v2/rerank", json=body).json()
    assert [result.get("truncated") for result in answer["results"]] == [None, True]
    assert answer["meta"]["warnings"] == ["1 of the documents were cut: with the query they have more than 8 tokens"]


@pytest.mark.parametrize("extra", [{"top_n": None}, {"priority": 0}, {"max_tokens_per_doc": 4096}, {"top_n": 99}])
def test_what_clients_may_send_is_taken(client, extra):
    response = client.post("/v2/rerank", json={**BODY, **extra})
    assert response.status_code == 200 and len(response.json()["results"]) == 3


def test_a_cut_that_cannot_be_made_is_refused(client):
    response = client.post("/v2/rerank", json={**BODY, "max_tokens_per_doc": 7})
    assert response.status_code == 422 and "from 8" in response.json()["message"]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"query": "red"}, 422, "documents"),
        ({**BODY, "documents": []}, 422, "documents"),
        ({**BODY, "documents": [{"text": "a"}]}, 422, "documents.0"),
        ({**BODY, "documents": ["a"] * 1001}, 422, "documents"),
        ({**BODY, "top_n": 0}, 422, "top_n"),
        ({**BODY, "model": "rerank-v3.5"}, 404, "fake, fake:3, fake@champion"),
    ],
)
def test_an_error_has_an_id_and_a_message(client, body, status, named):
    response = client.post("/v2/rerank", json=body, headers={"X-Request-ID": "abc-1"})
    assert response.status_code == status
    assert set(response.json()) == {"id", "message"} and response.json()["id"] == "abc-1"
    assert named in response.json()["message"]


def test_a_version_that_is_being_replaced_is_never_answered_by_another(client, backend):
    backend.model = replace(backend.model, others=(2,))
    response = client.post("/v2/rerank", json={"model": "fake:2", "query": "red", "documents": ["a"]})
    assert response.status_code == 503 and "fake:3 takes the place of fake:2" in response.json()["message"]
