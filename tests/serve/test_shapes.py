"""Whatever goes wrong, a client gets an error that it can read: before the routes, in them, and behind them."""

import pytest

from planogram.errors import OverloadedError
from planogram.serve.values import LateError

OWN = {"error", "request_id"}
KEYS = {
    "/search": OWN,
    "/v1/rerank": OWN,
    "/v2/rerank": {"id", "message"},
    "/rerank": {"error", "error_type"},
    "/v1/score": {"error"},
    "/v1/embeddings": {"error"},
}
STATUSES = {
    # path: malformed, not JSON's media type, too large, invalid, overloaded, late, failed
    "/search": (400, 415, 413, 422, 503, 504, 500),
    "/v1/rerank": (400, 415, 413, 422, 503, 504, 500),
    "/v2/rerank": (400, 415, 413, 422, 503, 504, 500),
    "/rerank": (400, 415, 413, 422, 429, 504, 424),
    "/v1/score": (400, 415, 413, 400, 503, 504, 500),
    "/v1/embeddings": (400, 415, 413, 400, 503, 504, 500),
}
GOOD = {
    "/search": {"query": "red"},
    "/v1/rerank": {"query": "red", "documents": ["a"]},
    "/v2/rerank": {"query": "red", "documents": ["a"]},
    "/rerank": {"query": "red", "texts": ["a"]},
    "/v1/score": {"queries": "red", "documents": ["a"]},
    "/v1/embeddings": {"input": "red"},
}
JSON = {"content-type": "application/json"}


def failing(client, backend, path, error):
    backend.ranker_error = backend.retriever_error = backend.embedder_error = error
    return client.post(path, json=GOOD[path])


@pytest.mark.parametrize("path", KEYS)
def test_every_error_of_a_path_has_its_shape_and_status(make_client, backend, path):
    client = make_client(limits={"body_bytes": 1024})
    responses = [
        client.post(path, content=b"{", headers=JSON),
        client.post(path, content=b"{}", headers={"content-type": "text/plain"}),
        client.post(path, content=b" " * 2000, headers=JSON),
        client.post(path, json={"surprise": "hunter2"}),
        failing(client, backend, path, OverloadedError("the server has too many requests")),
        failing(client, backend, path, LateError("too late")),
        failing(client, backend, path, RuntimeError("hunter2")),
    ]
    assert tuple(response.status_code for response in responses) == STATUSES[path]
    for response in responses:
        assert set(response.json()) == KEYS[path]
        assert "hunter2" not in response.text
    assert int(responses[4].headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/score", "/v1/embeddings", "/rerank"])
def test_a_wrong_method_too(client, path):
    response = client.get(path)
    assert response.status_code == 405 and set(response.json()) == KEYS[path]


def test_below_a_prefix_the_shapes_are_the_same(client):
    client.app.root_path = "/shop"
    assert set(client.post("/shop/v2/rerank", json={}).json()) == KEYS["/v2/rerank"]
