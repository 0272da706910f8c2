"""Spans of requests by OpenTelemetry. Nothing of it is imported where tracing is off.

A span says which route, model and key a request had, how many candidates, and how it ended; never a text of it.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from planogram.errors import ConfigError
from planogram.serve.call import Call
from planogram.serve.settings import TracingArgs

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SERVICE = "planogram"
Attribute = str | int | float | bool


class RequestSpan(Protocol):
    """The span of a request."""

    def answered(self, method: str, route: str, status: int, call: Call) -> None:
        """Say how the request ended."""
        ...


class StepSpan(Protocol):
    """The span of a call of the gateway."""

    def say(self, attributes: Mapping[str, Attribute]) -> None:
        """Say what came of it."""
        ...


class Tracing(Protocol):
    """Makes spans; what runs within a request's span belongs to it."""

    def request(self, call: Call, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """A span that continues the client's trace. From then on `call` knows the trace."""
        ...

    def step(self, name: str) -> AbstractContextManager[StepSpan]:
        """A span below the request's; an error that leaves it is named in it, without its message."""
        ...


class _NoSpan:
    def answered(self, method: str, route: str, status: int, call: Call) -> None:
        """Nobody asked."""

    def say(self, attributes: Mapping[str, Attribute]) -> None:
        """Nobody asked."""


class _Off:
    @contextmanager
    def request(self, call: Call, headers: Mapping[str, str]) -> Iterator[RequestSpan]:  # noqa: ARG002 - no span
        """No span."""
        yield _NoSpan()

    @contextmanager
    def step(self, name: str) -> Iterator[StepSpan]:  # noqa: ARG002 - no span
        """No span."""
        yield _NoSpan()


OFF: Tracing = _Off()


class _Traced:
    def __init__(self, span: "Span") -> None:
        self._span = span

    def answered(self, method: str, route: str, status: int, call: Call) -> None:
        """Name the span, and say how the request ended."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        self.say({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        self.say({"planogram.request_id": call.request_id, "planogram.degraded": bool(call.reason) and status < 300})
        self.say({"planogram.reason": call.reason, "planogram.key": call.key})
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)

    def say(self, attributes: Mapping[str, Attribute]) -> None:
        """Set attributes."""
        self._span.set_attributes(attributes)


class OpenTelemetry:
    """Spans of a provider of our own: the process's global one is Ray's.

    Args:
        provider: knows where spans go.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, call: Call, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """A server's span."""
        from opentelemetry.trace import SpanKind

        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        with self._tracer.start_as_current_span(
            "request",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            call.trace_id = f"{span.get_span_context().trace_id:032x}"
            yield _Traced(span)

    @contextmanager
    def step(self, name: str) -> Iterator[StepSpan]:
        """A span below the current one."""
        from opentelemetry.trace import StatusCode

        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield _Traced(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    def stop(self) -> None:
        """Send what has not left yet, and end the thread that sends."""
        self._provider.shutdown()


def start_tracing(args: TracingArgs) -> Tracing:
    """The tracing that a configuration asks for. Spans leave in the background.

    Raises:
        ConfigError: a package is missing.
    """
    if not args.on:
        return OFF
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(args.share)), resource=Resource.create({"service.name": SERVICE})
    )
    for exporter in _exporters(args):
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetry(provider)


def _exporters(args: TracingArgs) -> "Iterator[SpanExporter]":
    if args.console:
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        yield ConsoleSpanExporter(out=sys.__stderr__ or sys.stderr)
    if args.endpoint:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            raise ConfigError(
                "tracing.endpoint needs a package that is not installed", remedy="pip install 'planogram[tracing]'"
            ) from None
        yield OTLPSpanExporter(endpoint=args.endpoint)
