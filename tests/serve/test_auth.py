"""Who may ask what, over HTTP."""

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from planogram.errors import ConfigError
from planogram.serve import auth
from planogram.serve.auth import Keyring, gate_of, presented, required_scope
from planogram.serve.call import Call
from planogram.serve.guard import Guard
from planogram.serve.keys import VARIABLE, create_key, revoke_key
from planogram.serve.problems import ForbiddenError, UnauthorizedError
from planogram.serve.settings import AuthArgs, Limits

RERANK = {"query": "red", "documents": ["a"]}


@pytest.fixture
def keys_file(tmp_path):
    return str(tmp_path / "keys.json")


@pytest.fixture
def keys(keys_file):
    return {name: create_key(keys_file, name, [name]) for name in ("read", "ingest", "admin")}


@pytest.fixture
def guarded(make_client, keys_file, keys):
    return make_client(auth={"keys_file": keys_file})


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/search"),
        ("POST", "/v1/rerank"),
        ("GET", "/v1/models"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/docs/oauth2-redirect"),
        ("GET", "/"),
        ("GET", "/nope"),
        ("GET", "/admin"),
        ("GET", "/healthz/"),
        ("GET", "/HEALTHZ"),
        ("GET", "//healthz"),
        ("GET", "/healthz/../search"),
        ("GET", "/-/routes"),
        ("POST", "/healthz"),
        ("OPTIONS", "/search"),
        ("DELETE", "/nope"),
        ("BREW", "/search"),
    ],
)
def test_every_path_but_the_probes_needs_a_key(guarded, method, path):
    response = guarded.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "unauthorized" in {response.json()["error"].get(name) for name in ("type", "code")}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_none(guarded, path):
    assert guarded.get(path).status_code == 200


def test_known_and_unknown_paths_answer_alike(guarded):
    known, unknown = guarded.post("/search", json={}), guarded.post("/nope", json={})
    assert known.status_code == unknown.status_code
    assert known.json()["error"] == unknown.json()["error"]
    assert set(known.headers) == set(unknown.headers)


def test_both_headers_are_taken(guarded, keys):
    for headers in (
        bearer(keys["read"]),
        {"Authorization": f"bearer  {keys['read']} "},
        {"X-API-Key": keys["read"]},
        {"X-API-Key": keys["read"], "Authorization": "Basic eDp5"},
    ):
        assert guarded.post("/v1/rerank", json=RERANK, headers=headers).status_code == 200
    assert guarded.get("/docs", headers=bearer(keys["read"])).status_code == 200
    assert guarded.get("/nope", headers=bearer(keys["read"])).status_code == 404


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer x", "Basic eDp5", "", "x", "Bearer " + "x" * 4000])
def test_what_is_no_key_is_not_let_in(guarded, keys, value):
    assert guarded.post("/v1/rerank", json=RERANK, headers={"Authorization": value}).status_code == 401
    half = keys["read"][:-1]
    assert guarded.post("/v1/rerank", json=RERANK, headers={"X-API-Key": half}).status_code == 401
    # A wrong bearer is not saved by the other header.
    both = {**bearer("x"), "X-API-Key": keys["read"]}
    assert guarded.post("/v1/rerank", json=RERANK, headers=both).status_code == 401


def test_bytes_that_are_no_text_are_no_key(guarded):
    assert guarded.get("/v1/models", headers={b"authorization": b"Bearer \xff\xfe\x80"}).status_code == 401


def test_a_missing_scope_is_named(guarded, keys):
    response = guarded.post("/v1/rerank", json=RERANK, headers=bearer(keys["ingest"]))
    assert response.status_code == 403
    assert response.json()["error"]["type"] == "forbidden"
    assert "lacks the scope read" in response.json()["error"]["message"]
    assert "www-authenticate" not in response.headers
    assert guarded.post("/v1/rerank", json=RERANK, headers=bearer(keys["admin"])).status_code == 200


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/search", "read"),
        ("/", "read"),
        ("/admin", "admin"),
        ("/admin/models", "admin"),
        ("//admin/models", "admin"),
        ("/admin/", "admin"),
        ("/ingest", "ingest"),
        ("/ingest/products", "ingest"),
        ("/administrator", "read"),
        ("/v1/ingest", "read"),
    ],
)
def test_the_first_part_of_a_path_decides(path, scope):
    assert required_scope(path) == scope


@pytest.mark.parametrize(
    ("key", "path", "error"),
    [
        ("read", "/admin/x", ForbiddenError),
        ("ingest", "/admin/x", ForbiddenError),
        ("read", "/ingest", ForbiddenError),
        ("ingest", "/search", ForbiddenError),
        ("ingest", "/ingest", None),
        ("admin", "/ingest", None),
        (None, "/ingest", UnauthorizedError),
    ],
)
@pytest.mark.parametrize("root", ["", "/shop"])
def test_scopes_below_a_route_prefix(keys_file, keys, key, path, error, root):
    gate = gate_of(AuthArgs(keys_file=keys_file))
    headers = [(b"x-api-key", keys[key].encode())] if key else []
    scope = {"type": "http", "method": "POST", "path": root + path, "root_path": root, "headers": headers}
    if error:
        with pytest.raises(error):
            gate.admit(scope, Call.begin(None))
    else:
        gate.admit(scope, Call.begin(None))
    gate.admit({**scope, "method": "GET", "path": f"{root}/readyz", "headers": []}, Call.begin(None))


def test_a_body_is_not_read_before_the_key_is_known(keys_file, keys):
    async def never():
        raise AssertionError("read")

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/search", "headers": [(b"content-length", b"9" * 9)]}
    guard = Guard(never, Limits(), gate_of(AuthArgs(keys_file=keys_file)))
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 401


def test_websockets_are_closed():
    async def never(*_):
        raise AssertionError("reached")

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(never, Limits())({"type": "websocket", "path": "/search"}, never, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_key_is_compared_in_constant_time(keys_file, keys, monkeypatch):
    compared = []
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: compared.append(a) or a == b)
    ring = Keyring(AuthArgs(keys_file=keys_file))
    for given, name in ((keys["read"], "read"), ("x", None)):
        compared.clear()
        found = ring.find(given)
        assert (found and found.name) == name
        assert len(compared) == len(keys)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_revoked_key_is_refused_within_a_second(keys_file, keys):
    clock = Clock()
    ring = Keyring(AuthArgs(keys_file=keys_file), clock)
    revoke_key(keys_file, "read")
    assert ring.find(keys["read"])
    clock.now = 1.0
    assert ring.find(keys["read"]) is None
    new = create_key(keys_file, "new", ["read"])
    clock.now = 2.0
    assert ring.find(new).name == "new"


@pytest.mark.parametrize("harm", ["mode", "gone", "damaged"])
def test_a_file_that_goes_bad_keeps_the_known_keys_and_is_logged_once(keys_file, keys, harm, caplog):
    clock = Clock()
    ring = Keyring(AuthArgs(keys_file=keys_file), clock)
    if harm == "mode":
        Path(keys_file).chmod(0o644)
    elif harm == "gone":
        Path(keys_file).unlink()
    else:
        Path(keys_file).write_text(keys["read"])
    for clock.now in (1.0, 2.0, 3.0):
        assert ring.find(keys["read"])
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and "stay valid" in errors[0].message
    assert keys["read"] not in caplog.text


def test_when_all_keys_are_revoked_nobody_is_let_in(make_client, keys_file, keys, monkeypatch):
    monkeypatch.setattr(auth, "RELOAD_S", 0.0)
    client = make_client(auth={"keys_file": keys_file})
    for name in keys:
        revoke_key(keys_file, name)
    assert client.post("/v1/rerank", json=RERANK, headers=bearer(keys["admin"])).status_code == 401
    assert client.get("/healthz").status_code == 200


def test_keys_come_from_the_environment_too(make_client, keys_file, keys, monkeypatch):
    secret = "s" * 40
    monkeypatch.setenv(VARIABLE, f"env:read:{secret}")
    for args in ({}, {"keys_file": keys_file}):
        client = make_client(auth=args)
        assert client.get("/v1/models", headers=bearer(secret)).status_code == 200
        assert client.get("/v1/models").status_code == 401
    monkeypatch.setenv(VARIABLE, f"read:read:{secret}")
    with pytest.raises(ConfigError, match="give one of them another name"):
        make_client(auth={"keys_file": keys_file})


def test_without_keys_everybody_may_ask(client):
    assert gate_of(AuthArgs()) is None
    assert client.post("/v1/rerank", json=RERANK, headers=bearer("anything")).status_code == 200


@pytest.mark.parametrize("required", [True, False])
def test_a_place_for_keys_without_keys_does_not_start(make_client, keys_file, keys, required):
    for name in keys:
        revoke_key(keys_file, name)
    with pytest.raises(ConfigError, match="planogram keys create"):
        make_client(auth={"keys_file": keys_file, "required": required})
    with pytest.raises(ConfigError, match="there is no API key"):
        make_client(auth={"required": True})


def test_logs_and_errors_have_the_name_of_a_key_and_never_the_key(guarded, keys, caplog, backend):
    caplog.set_level(logging.INFO, "planogram")
    backend.ranker_error = RuntimeError("broken")
    answers = [
        guarded.post("/v1/rerank", json=RERANK, headers=bearer(keys["read"])),
        guarded.post("/v1/rerank", json=RERANK, headers=bearer(keys["ingest"])),
        guarded.post("/v1/rerank", json=RERANK, headers=bearer("wrong-" + keys["read"])),
    ]
    assert [answer.status_code for answer in answers] == [500, 403, 401]
    lines = [record for record in caplog.records if record.name == "planogram.serve.access"]
    assert [(line.key, line.status, line.reason) for line in lines] == [
        ("read", 500, "internal"),
        ("ingest", 403, "forbidden"),
        ("", 401, "unauthorized"),
    ]
    seen = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    assert not any(key in seen for key in keys.values())


def test_presented_prefers_the_bearer():
    assert presented(Headers({"authorization": "Bearer a", "x-api-key": "b"})) == "a"
    assert presented(Headers({})) == ""
