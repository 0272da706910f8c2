"""Inputs that are drawn from the server's own document, and what they do to it: over a socket, without a cluster."""

import asyncio
import json
import random
import threading
import time
from collections import Counter

import jsonschema
import pytest
import uvicorn
from tests.serve.conftest import FakeBackend, app_args

from planogram.benchmark import hostile as module
from planogram.benchmark.hostile import answer, attack, document
from planogram.benchmark.inputs import GARBAGE, Inputs, broken, drawn, garbage, request
from planogram.benchmark.load.plan import BROKEN, TIMEOUT
from planogram.benchmark.spawn import TargetError
from planogram.config import HostileConfig
from planogram.serve.haproxy import free_ports
from planogram.serve.web import create_app

LIMITS = {"request_timeout_s": 1.5, "ranker_timeout_s": 1.0}


@pytest.fixture(scope="module")
def app():
    return create_app(FakeBackend(), app_args(limits=LIMITS))


@pytest.fixture(scope="module")
def url(app):
    port = free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


def bodies(document):
    for path, item in document["paths"].items():
        if "post" in item:
            yield path, item["post"]["requestBody"]["content"]["application/json"]["schema"]


def fits(body, schema, document):
    resolved = {**schema, "components": document["components"]}
    return jsonschema.Draft202012Validator(resolved).is_valid(body)


def test_bodies_fit_the_document_and_broken_ones_mostly_do_not(app):
    document, chance = app.openapi(), random.Random(0)
    for path, schema in bodies(document):
        made = [drawn(schema, document, chance) for _ in range(50)]
        # A model's name has a pattern, which is passed over.
        assert (
            sum(fits({**body, "model": None}, schema, document) or fits(body, schema, document) for body in made) > 40
        )
        assert sum(fits(broken(body, chance), schema, document) for body in made) < 25, path


def test_a_seed_fixes_the_inputs_and_every_route_is_among_them(app):
    def some(seed):
        inputs, chance = Inputs("http://127.0.0.1:1", app.openapi(), 0.1), random.Random(seed)
        return [inputs.draw(chance) for _ in range(400)]

    assert some(1) == some(1) != some(2)
    posted = {
        first.split(b" ")[1].decode() for one in some(1) if (first := one.partition(b"\r\n")[0]).startswith(b"POST")
    }
    assert {path for path, _ in bodies(app.openapi())} <= posted


def test_a_share_of_the_inputs_is_no_http(app):
    def share(raw_share):
        inputs, chance = Inputs("http://127.0.0.1:1", app.openapi(), raw_share), random.Random(0)
        return sum(b"Connection: close" in inputs.draw(chance) for _ in range(200)) / 200

    assert share(0.0) == 1.0 and share(1.0) == 0.0 and 0.5 < share(0.3) < 0.9


def test_all_but_garbage_brings_the_key(app):
    inputs, chance = Inputs("http://127.0.0.1:1", app.openapi(), 0.0, "pg_secret"), random.Random(0)
    made = [inputs.draw(chance) for _ in range(50)]
    assert all(b"\r\nX-API-Key: pg_secret\r\n" in one.partition(b"\r\n\r\n")[0] + b"\r\n" for one in made)
    assert "pg_secret" not in repr(inputs)


def test_every_kind_of_garbage_is_drawn():
    chance = random.Random(0)
    made = {garbage(chance) for _ in range(500)}
    assert set(GARBAGE) < made


def test_statuses_are_those_of_the_answers(url):
    search = json.dumps({"query": "red"}).encode()
    asked = [
        request(url, "/search", search),
        request(url, "/search", b"{"),
        request(url, "/nowhere", b"{}"),
        b"x\r\n\r\n",
    ]
    assert [asyncio.run(answer(url, payload, 5)) for payload in asked] == [200, 400, 404, 400]
    assert asyncio.run(answer(url, b"GET ", 0.2)) == TIMEOUT
    assert asyncio.run(answer(f"http://127.0.0.1:{free_ports(1)[0]}", b"", 1)) == BROKEN


def test_an_attack_is_survived(url):
    config = HostileConfig(inputs=300, rate=200.0, drips=10)
    seen = asyncio.run(attack(Inputs(url, document(url), config.raw_share), config, 5.0, seed=0))
    assert seen.inputs.total() == config.inputs
    assert not [status for status in seen.inputs + seen.drips if status >= 500]
    assert seen.inputs[200] > 10 and seen.inputs[422] > 20 and seen.inputs[400] > 20
    assert seen.drips[408] > 0
    assert asyncio.run(answer(url, request(url, "/search", b'{"query": "red"}'), 5)) == 200


def test_errors_of_the_server_are_seen():
    async def ask():
        async def fail(reader, writer):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(fail, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        document = {"paths": {"/x": {"post": {"requestBody": {"content": {"application/json": {"schema": {}}}}}}}}
        config = HostileConfig(inputs=5, rate=1000.0, drips=2)
        return await attack(Inputs(url, document, 0.0), config, 5.0, seed=0)

    seen = asyncio.run(ask())
    assert seen.inputs == Counter({502: 5}) and set(seen.drips) <= {502}


def test_a_server_without_a_document_cannot_be_asked(url, monkeypatch):
    with pytest.raises(TargetError, match="openapi"):
        module.document(f"{url}/nowhere")
