import pytest

from planogram.errors import OverloadedError
from planogram.serve.values import FailedError

BODY = {"query": "red shoes", "texts": ["blue lamp", "red shoes", "red chair"]}
LONG = "one two three four five six seven eight"


def test_it_answers_a_bare_list_by_falling_score(client):
    assert client.post("/rerank", json=BODY).json() == [
        {"index": 1, "score": pytest.approx(0.880797)},
        {"index": 2, "score": pytest.approx(0.731059)},
        {"index": 0, "score": pytest.approx(0.5)},
    ]


def test_texts_come_back_when_they_are_asked_for(client):
    ranks = client.post("/rerank", json={**BODY, "return_text": True}).json()
    assert [rank["text"] for rank in ranks] == ["red shoes", "red chair", "blue lamp"]


def test_raw_scores_are_the_model_s_logits(client):
    ranks = client.post("/rerank", json={**BODY, "raw_scores": True}).json()
    # A logit is the number of words that the texts share.
    assert ranks == [{"index": 1, "score": 2.0}, {"index": 2, "score": 1.0}, {"index": 0, "score": 0.0}]


@pytest.mark.parametrize("truncate", [{}, {"truncate": False}, {"truncate": None}])
def test_a_text_that_is_too_long_is_an_error(client, truncate):
    response = client.post("/rerank", json={"query": "red", "texts": ["a", LONG], **truncate})
    assert response.status_code == 413
    assert response.json()["error_type"] == "validation"
    assert "texts.1" in response.json()["error"] and "8 tokens" in response.json()["error"]


def test_or_is_cut_and_says_so(client):
    ranks = client.post("/rerank", json={"query": "red", "texts": ["red lamp", LONG], "truncate": True}).json()
    assert [rank.get("truncated") for rank in ranks] == [None, True]


@pytest.mark.parametrize("direction", ["left", "Left"])
def test_cutting_at_the_start_is_refused(client, direction):
    response = client.post("/rerank", json={**BODY, "truncate": True, "truncation_direction": direction})
    assert response.status_code == 422 and "right" in response.json()["error"]


@pytest.mark.parametrize("direction", ["right", "Right"])
def test_cutting_at_the_end_is_the_rule(client, direction):
    assert client.post("/rerank", json={**BODY, "truncation_direction": direction}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "kind", "named"),
    [
        ({**BODY, "texts": []}, 400, "empty", "texts"),
        ({"query": "red"}, 422, "validation", "`texts` (Text Embeddings Inference) or `documents` (Jina)"),
        ({"texts": ["a"]}, 422, "validation", "query: "),
        ({"documents": ["a"]}, 422, "validation", "query: "),
        ({**BODY, "texts": ["a"] * 1001}, 422, "validation", "texts"),
        ({**BODY, "texts": [5]}, 422, "validation", "texts.0"),
        ({**BODY, "truncation_direction": "up"}, 422, "validation", "truncation_direction"),
        ({**BODY, "documents": ["a"]}, 422, "validation", "documents"),
        (["red"], 422, "validation", "object"),
    ],
)
def test_an_error_has_a_message_and_a_type(client, body, status, kind, named):
    response = client.post("/rerank", json=body)
    assert response.status_code == status
    assert set(response.json()) == {"error", "error_type"}
    assert response.json()["error_type"] == kind and named in response.json()["error"]
    assert not response.json()["error"].startswith(("tei.", "jina."))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(OverloadedError("the ranker has too many requests"), 429, "overloaded"), (FailedError("x"), 424, "backend")],
)
def test_a_ranker_that_does_not_answer(client, backend, error, status, kind):
    backend.ranker_error = error
    response = client.post("/rerank", json=BODY)
    assert (response.status_code, response.json()["error_type"]) == (status, kind)
    assert ("retry-after" in response.headers) == (status == 429)


def test_with_documents_it_is_jina_s(client):
    body = {"model": "fake", "query": "red shoes", "documents": ["blue lamp", "red shoes"], "top_n": 1}
    answer = client.post("/rerank", json=body).json()
    assert answer == client.post("/v1/rerank", json=body).json() | {"id": answer["id"]}
    assert answer["results"][0]["document"] == {"text": "red shoes"}
