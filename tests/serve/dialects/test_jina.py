import pytest

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
