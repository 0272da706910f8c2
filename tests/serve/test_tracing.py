"""Spans over the fake backend, into memory."""

import asyncio
import json
import logging
import subprocess
import sys

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from planogram.errors import ConfigError
from planogram.serve.call import Call
from planogram.serve.keys import create_key
from planogram.serve.settings import AppArgs, TracingArgs
from planogram.serve.tracing import OFF, OpenTelemetry, start_tracing
from planogram.serve.values import Filters, LateError
from planogram.serve.watch import watched
from planogram.serve.web import create_app

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetry(provider)


@pytest.fixture
def traced(backend, tracing):
    args = AppArgs.model_validate({"ranker": "fake@champion", "shop": "shop"})
    return TestClient(create_app(backend, args, tracing))


def by_name(spans):
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_search_is_three_spans_of_one_trace(traced, spans):
    traced.post("/search", json={"query": "hunter2"}, headers={"X-Request-ID": "r1"})
    found = by_name(spans)
    assert set(found) == {"POST /search", "retrieve", "rank"}
    request = found["POST /search"]
    assert request.kind is SpanKind.SERVER and request.parent is None
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/search",
        "http.response.status_code": 200,
        "planogram.request_id": "r1",
        "planogram.degraded": False,
        "planogram.reason": "",
        "planogram.key": "",
    }
    for step in ("retrieve", "rank"):
        assert found[step].parent.span_id == request.context.span_id
        assert found[step].context.trace_id == request.context.trace_id
        assert found[step].attributes["planogram.candidates"] == 3
    assert found["rank"].attributes["planogram.model"] == "fake:3"
    assert found["rank"].attributes["planogram.tokens"] > 0
    assert "hunter2" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_the_clients_trace_goes_on_and_is_logged(traced, spans, caplog):
    caplog.set_level(logging.INFO, "planogram")
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=1"}
    traced.post("/v1/rerank", json={"query": "red", "documents": ["a"]}, headers=headers)
    request = by_name(spans)["POST /v1/rerank"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.context.trace_state["shop"] == "1"
    assert [record.trace_id for record in caplog.records if hasattr(record, "trace_id")] == [TRACE]


def test_a_client_that_does_not_trace_is_not_traced(traced, spans):
    traced.get("/healthz", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("header", ["x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}", "00-" * 1000])
def test_a_trace_that_is_none_begins_anew(traced, spans, header, caplog):
    caplog.set_level(logging.INFO, "planogram")
    traced.get("/healthz", headers={"traceparent": header})
    (request,) = spans.get_finished_spans()
    assert request.parent is None
    (line,) = [record for record in caplog.records if record.name == "planogram.serve.access"]
    assert line.trace_id == f"{request.context.trace_id:032x}"


def test_a_degraded_answer_says_why_and_its_rank_failed(traced, spans, backend):
    backend.ranker_error = LateError("the ranker did not answer: hunter2")
    traced.post("/search", json={"query": "red"})
    found = by_name(spans)
    assert found["POST /search"].attributes["planogram.degraded"] is True
    assert found["POST /search"].attributes["planogram.reason"] == "ranker_late"
    assert found["POST /search"].status.status_code is StatusCode.UNSET
    assert found["rank"].attributes["error.type"] == "LateError"
    assert found["rank"].status.status_code is StatusCode.ERROR
    assert "hunter2" not in found["rank"].to_json()


def test_a_failed_request_is_an_error_without_its_message(traced, spans, backend):
    backend.ranker_error = RuntimeError("hunter2")
    assert traced.post("/v1/rerank", json={"query": "red", "documents": ["a"]}).status_code == 500
    request = by_name(spans)["POST /v1/rerank"]
    assert request.status.status_code is StatusCode.ERROR and request.events == ()
    assert request.attributes["planogram.degraded"] is False
    assert "hunter2" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_a_cancelled_step_ends_its_span(backend, tracing, spans):
    backend.delay_s = 5

    async def leave():
        async with asyncio.timeout(0.01):
            await watched(backend, tracing).score("red", ["a"])

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert by_name(spans)["rank"].attributes["error.type"] == "CancelledError"


def test_requests_at_once_do_not_mix(backend, tracing, spans):
    async def one(name):
        with tracing.request(Call(name), {}) as span:
            await watched(backend, tracing).retrieve("red", Filters(), int(name))
            span.answered("POST", name, 200, Call(name))

    async def both():
        await asyncio.gather(one("1"), one("2"))

    backend.delay_s = 0.01
    asyncio.run(both())
    requests = {span.context.span_id: span.name for span in spans.get_finished_spans() if span.name != "retrieve"}
    steps = [span for span in spans.get_finished_spans() if span.name == "retrieve"]
    pairs = {(requests[span.parent.span_id], span.attributes["planogram.candidates"]) for span in steps}
    assert pairs == {("POST 1", 1), ("POST 2", 2)}


def test_a_span_has_the_keys_name(backend, tracing, spans, tmp_path):
    path = str(tmp_path / "keys.json")
    secret = create_key(path, "shop", ["read"])
    args = AppArgs.model_validate({"ranker": "fake", "shop": "s", "auth": {"keys_file": path}})
    client = TestClient(create_app(backend, args, tracing))
    client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
    client.get("/v1/models")
    allowed, refused = spans.get_finished_spans()
    assert allowed.attributes["planogram.key"] == "shop" and secret not in allowed.to_json()
    assert (refused.name, refused.attributes["http.response.status_code"]) == ("GET unmatched", 401)


def test_the_process_keeps_its_own_provider(traced):
    traced.get("/healthz")
    assert not get_current_span().get_span_context().is_valid


def test_off_is_off_and_the_clients_trace_is_still_logged(client, caplog):
    caplog.set_level(logging.INFO, "planogram")
    assert start_tracing(TracingArgs()) is OFF
    client.get("/healthz", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    client.get("/healthz", headers={"traceparent": "nonsense"})
    assert [record.trace_id for record in caplog.records if hasattr(record, "trace_id")] == [TRACE, ""]


def test_fastapis_own_telemetry_stays_off(client, monkeypatch, spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    client.get("/v1/models?secret=hunter2")
    assert spans.get_finished_spans() == ()


def test_nothing_is_imported_while_it_is_off():
    code = (
        "import sys\n"
        "from planogram.serve.settings import TracingArgs\n"
        "from planogram.serve.tracing import start_tracing\n"
        "import planogram.serve.web\n"
        "start_tracing(TracingArgs())\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_spans_go_to_an_endpoint_over_http():
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.handle_request, daemon=True).start()
    tracing = start_tracing(TracingArgs(endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces"))
    with tracing.request(Call("r1"), {}) as span:
        span.answered("GET", "/healthz", 200, Call("r1"))
    tracing.stop()
    server.server_close()
    ((path, body),) = received
    assert path == "/v1/traces" and b"GET /healthz" in body and b"planogram" in body


def test_spans_go_to_the_console():
    code = (
        "from planogram.serve.call import Call\n"
        "from planogram.serve.settings import TracingArgs\n"
        "from planogram.serve.tracing import start_tracing\n"
        "tracing = start_tracing(TracingArgs(console=True))\n"
        "with tracing.request(Call('r1'), {}) as span: span.answered('GET', '/x', 200, Call('r1'))"
    )
    # What has not left yet leaves at the end of the process.
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stderr)["name"] == "GET /x"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"planogram\[tracing\]"):
        start_tracing(TracingArgs(endpoint="http://127.0.0.1:4318/v1/traces"))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 1)])
def test_a_share_of_the_requests_is_traced(share, count, spans, monkeypatch):
    monkeypatch.setattr("planogram.serve.tracing._exporters", lambda args: [spans])
    tracing = start_tracing(TracingArgs(console=True, share=share))
    call = Call("r1")
    with tracing.request(call, {}) as span:
        span.answered("GET", "/x", 200, call)
    tracing.stop()
    assert len(spans.get_finished_spans()) == count
    assert len(call.trace_id) == 32
