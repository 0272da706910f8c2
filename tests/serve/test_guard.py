import asyncio
import json
import logging

import pytest

from planogram.errors import RequestError, TooLargeError
from planogram.serve.body import check_json, read_body
from planogram.serve.guard import Guard
from planogram.serve.problems import MalformedError
from planogram.serve.settings import Limits

JSON = {"content-type": "application/json"}


def chunks(*parts):
    """An ASGI `receive` without a Content-Length."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return messages.pop(0)

    return receive, messages


def test_a_body_is_counted_while_it_comes():
    receive, left = chunks(b"x" * 600, b"x" * 600, b"never read")
    with pytest.raises(TooLargeError):
        asyncio.run(read_body(receive, None, 1000))
    assert len(left) == 2
    receive, _ = chunks(b"ab", b"", b"c")
    assert asyncio.run(read_body(receive, "1", 1000)) == b"abc"


@pytest.mark.parametrize("length", ["1001", "9" * 500])
def test_a_body_that_says_it_is_too_long_is_not_read(length):
    receive, left = chunks(b"x")
    with pytest.raises(TooLargeError):
        asyncio.run(read_body(receive, length, 1000))
    assert len(left) == 2


def test_413_over_http_with_and_without_a_length(client):
    body = json.dumps({"query": "a" * 300_000}).encode()
    assert client.post("/search", content=body, headers=JSON).status_code == 413
    assert client.post("/search", content=iter([body[:200_000], body[200_000:]]), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"nul",
        b'{"a":1,}',
        b"[1]2",
        b'{"a": NaN}',
        b"[Infinity]",
        b"-Infinity",
        b"[1e999]",
        b"1" * 5000,
    ],
)
def test_what_is_not_json_is_malformed(body):
    with pytest.raises(MalformedError):
        check_json(body, 20)


@pytest.mark.parametrize("body", [b"[" * 21 + b"]" * 21, b'{"a":' * 21 + b"1" + b"}" * 21, b"[" * 100_000])
def test_json_may_nest_twenty_levels(body):
    with pytest.raises(RequestError):
        check_json(body, 20)


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'{"\uDFFF": 1}', b'"\xed\xa0\x80"', '"a"'.encode("utf-16")])
def test_half_characters_and_other_encodings_are_malformed(text):
    with pytest.raises(MalformedError):
        check_json(text, 20)


def test_whole_characters_are_fine():
    check_json(rb'["\ud83d\ude00", "\u0000", "\ud7ff"]', 20)


def test_twenty_levels_and_brackets_in_strings_are_fine():
    check_json(b"[" * 20 + b"1" + b"]" * 20, 20)
    check_json(json.dumps("[" * 1000).encode(), 20)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/vnd.api+json"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
)
def test_only_json_is_read(client, headers, status):
    assert client.post("/search", content=b'{"query": "red"}', headers=headers).status_code == status


def test_an_empty_body_is_a_missing_body(client):
    assert client.post("/search").status_code == 422


@pytest.mark.parametrize(
    ("given", "kept"), [("abc.D-1_", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<a>", False)]
)
def test_a_request_id_is_kept_when_it_is_well_formed(client, given, kept):
    answer = client.get("/healthz", headers={"X-Request-ID": given}).json()
    assert (answer["request_id"] == given) is kept


def test_a_slow_answer_is_cut_off(make_client, backend):
    backend.delay_s = 5
    client = make_client(limits={"request_timeout_s": 0.1, "ranker_timeout_s": 0.05})
    response = client.post("/v1/rerank", json={"query": "red", "documents": ["a"]})
    assert response.status_code == 504 and response.json()["error"]["type"] == "late"


def run_guard(receive, app, **limits):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(Guard(app, Limits(**limits))(scope, receive, send))
    return sent


async def no_app(scope, receive, send):
    raise AssertionError("not reached")


def test_a_dripping_body_is_cut_off():
    async def drip():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent = run_guard(drip, no_app, request_timeout_s=0.1, ranker_timeout_s=0.05)
    assert sent[0]["status"] == 408


def test_a_client_that_leaves_gets_nothing():
    async def leave():
        return {"type": "http.disconnect"}

    assert run_guard(leave, no_app) == []


def test_an_error_after_the_answer_began_adds_nothing():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken")

    receive, _ = chunks(b"{}")
    assert [message["type"] for message in run_guard(receive, app)] == ["http.response.start"]


def test_the_log_has_one_line_per_request_and_no_body(client, backend, caplog):
    caplog.set_level(logging.INFO, "planogram")
    client.post("/search", json={"query": "hunter2"}, headers={"Authorization": "Bearer sesame", "X-Request-ID": "r1"})
    client.get("/secret-path")
    lines = [record for record in caplog.records if record.name == "planogram.serve.access"]
    assert [(line.request_id == "r1", line.route, line.status) for line in lines] == [
        (True, "/search", 200),
        (False, "unmatched", 404),
    ]
    assert "hunter2" not in caplog.text and "sesame" not in caplog.text and "secret-path" not in caplog.text
