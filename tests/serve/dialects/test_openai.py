import base64

import numpy as np
import pytest

from planogram.errors import OverloadedError
from planogram.serve.dialects.openai import shortened
from planogram.serve.values import FailedError

TEXTS = ["red shoes", "blue lamp"]


def post(client, **body):
    return client.post("/v1/embeddings", json=body)


def test_it_answers_in_openais_words(client, fake_vector):
    answer = post(client, model="fake-embedder", input=TEXTS).json()
    assert answer == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": fake_vector(text).tolist()}
            for index, text in enumerate(TEXTS)
        ],
        "model": "fake-embedder",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def test_a_text_alone_is_a_list_of_one(client):
    assert post(client, input=TEXTS[0]).json()["data"] == post(client, input=TEXTS[:1]).json()["data"]


def test_base64_is_the_same_float32_little_endian(client, fake_vector):
    (item,) = post(client, input="red", encoding_format="base64").json()["data"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(item["embedding"]), "<f4"), fake_vector("red"))


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_fewer_dimensions_are_a_unit_vector_in_the_same_direction(client, fake_vector, encoding):
    (item,) = post(client, input="red", dimensions=2, encoding_format=encoding).json()["data"]
    given = item["embedding"]
    vector = np.frombuffer(base64.b64decode(given), "<f4") if encoding == "base64" else np.asarray(given)
    assert vector.shape == (2,) and np.linalg.norm(vector) == pytest.approx(1)
    assert vector[0] / vector[1] == pytest.approx(fake_vector("red")[0] / fake_vector("red")[1], rel=1e-5)


def test_all_dimensions_change_nothing(client):
    assert post(client, input="red", dimensions=4).json() == post(client, input="red").json()


def test_nothing_left_of_a_vector_is_a_failure_and_no_nan():
    with pytest.raises(FailedError):
        shortened(np.array([[0, 0, 1]], dtype=np.float32), 2)


def test_a_cut_text_says_so(client):
    data = post(client, input=["red", "one two three four five six seven eight nine"]).json()["data"]
    assert [item.get("truncated") for item in data] == [None, True]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "input"),
        ({"input": []}, "0 texts"),
        ({"input": ""}, "text 0 is empty"),
        ({"input": ["a", " <b></b> "]}, "text 1 is empty"),
        ({"input": ["a"] * 1001}, "1001 texts"),
        ({"input": [1, 2, 3]}, "token ids"),
        ({"input": [[1, 2], [3]]}, "token ids"),
        ({"input": {"text": "a"}}, "a text or a list of texts"),
        ({"input": "a", "dimensions": 5}, "1 to 4"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_an_invalid_request_is_a_bad_one(client, body, named):
    response = post(client, **body)
    error = response.json()["error"]
    assert response.status_code == 400 and set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and named in error["message"]


def test_the_ranker_is_no_embedder(client):
    response = post(client, model="fake", input="a")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "fake-embedder, fake-embedder:1" in response.json()["error"]["message"]


def test_an_embedder_that_does_not_answer(client, backend):
    backend.embedder_error = OverloadedError("the embedder has too many requests")
    response = post(client, input="a")
    assert response.status_code == 503 and "retry-after" in response.headers
    assert response.json()["error"]["type"] == "server_error"


def test_both_models_are_listed(client):
    ranker, embedder = client.get("/v1/models").json()["data"]
    assert (ranker["id"], ranker["role"], ranker["heads"]) == ("fake", "ranker", ["relevance", "click"])
    assert (embedder["id"], embedder["role"], embedder["dimensions"]) == ("fake-embedder", "embedder", 4)
    assert {card["object"] for card in (ranker, embedder)} == {"model"}


def test_a_folder_is_not_told_to_clients(make_client):
    answer = make_client(ranker="/secret/bundle", embedder="/secret/other").get("/v1/models").json()
    assert "secret" not in str(answer)


def test_without_an_embedder_there_is_one_model_and_no_route(make_client, backend):
    backend.embedder = None
    client = make_client(routes=["rerank"], embedder=None)
    assert len(client.get("/v1/models").json()["data"]) == 1
    assert post(client, input="a").status_code == 404
