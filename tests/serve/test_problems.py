import pytest

from planogram.errors import ConfigError, IntegrityError, NotFoundError, OverloadedError, RequestError, TooLargeError
from planogram.serve.problems import MAX_FIELDS, problem_of
from planogram.serve.values import FailedError, LateError, UnavailableError

RERANK = {"query": "red", "documents": ["a"]}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError("x"), 422),
        (TooLargeError("x"), 413),
        (OverloadedError("x"), 503),
        (UnavailableError("x"), 503),
        (LateError("x"), 504),
        (NotFoundError("x"), 404),
        (FailedError("x"), 500),
        (IntegrityError("x"), 500),
        (ConfigError("x"), 500),
        (RuntimeError("x"), 500),
    ],
)
def test_every_error_has_a_status(error, status):
    assert problem_of(error).status == status


@pytest.mark.parametrize("error", [RuntimeError("secret /etc/passwd"), FailedError("secret"), IntegrityError("secret")])
def test_what_is_the_servers_fault_stays_in_its_log(client, backend, error, caplog):
    backend.ranker_error = error
    response = client.post("/v1/rerank", json=RERANK)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["request_id"] in {getattr(record, "request_id", "") for record in caplog.records}


def test_an_overloaded_server_says_when_to_come_again(client, backend):
    backend.ranker_error = OverloadedError("the ranker has too many requests")
    response = client.post("/v1/rerank", json=RERANK)
    assert response.status_code == 503 and int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/search", {}, "query"),
        ("/search", {"query": ""}, "query"),
        ("/search", {"query": 5}, "query"),
        ("/search", {"query": "a" * 2049}, "query"),
        ("/search", {"query": "a", "top_k": 0}, "top_k"),
        ("/search", {"query": "a", "top_k": 201}, "top_k"),
        ("/search", {"query": "a", "top_k": "10"}, "top_k"),
        ("/search", {"query": "a", "top_k": True}, "top_k"),
        ("/search", {"query": "a", "filters": {"price_min": -1}}, "filters.price_min"),
        ("/search", {"query": "a", "filters": {"price_min": 2, "price_max": 1}}, "filters"),
        ("/search", {"query": "a", "filters": {"color": "red"}}, "filters.color"),
        ("/search", {"query": "a", "candidates": []}, "candidates"),
        ("/search", {"query": "a", "candidates": ["p"] * 1001}, "candidates"),
        ("/search", {"query": "a", "surprise": 1}, "surprise"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["d"] * 1001}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["d"], "top_n": -1}, "top_n"),
        ("/v1/rerank", {"query": "a", "documents": ["d"], "model": "../x"}, "model"),
        ("/v1/rerank", {"query": "a", "documents": [{"text": "d", "image": "u"}]}, "documents.0.str"),
    ],
)
def test_an_invalid_body_names_its_field(client, path, body, param):
    response = client.post(path, json=body)
    error = response.json()["error"]
    assert response.status_code == 422
    assert error["type"] == "validation" and error["param"] == param
    assert response.json()["request_id"]


def test_a_thousand_errors_make_a_short_answer(client):
    response = client.post("/v1/rerank", json={"query": "a", "documents": [5] * 1000})
    assert response.status_code == 422
    assert len(response.json()["error"]["details"]) == MAX_FIELDS


def test_values_are_not_repeated(client):
    assert "hunter2" not in client.post("/search", json={"query": ["hunter2"]}).text


def test_unknown_paths_and_methods_are_json_too(client):
    missing, wrong = client.get("/nope"), client.get("/search")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_ready_only_when_all_answer(client, backend):
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    backend.retriever_error = UnavailableError("the retriever is not available")
    response = client.get("/readyz")
    assert response.status_code == 503 and "retriever" in response.json()["error"]["message"]
    assert client.get("/healthz").status_code == 200
