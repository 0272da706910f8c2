"""What the server counts and measures, by names and labels that the dashboard and the alerts use.

Replicas hand the figures to Ray (`ray_metrics.observe_replica`), which exports them to Prometheus as `ray_NAME`; until
then, and in tests, nobody listens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from planogram.serve.call import Call

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Metric:
    """A counter, or a histogram where it has buckets.

    Attributes:
        name: without Ray's prefix and Prometheus' suffix.
        labels: all of them are set with every figure; Ray adds application, deployment and replica.
        buckets: upper bounds, in the unit that the name ends with.
    """

    name: str
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


REQUESTS = Metric(
    "planogram_requests", "answered requests; degraded is `no` or the reason", ("route", "status", "degraded")
)
REQUEST_SECONDS = Metric("planogram_request_seconds", "from a request's first byte to its answer", ("route",), SECONDS)
STEP_SECONDS = Metric("planogram_step_seconds", "a call of the gateway: retrieve or rank", ("step",), SECONDS)
STEP_ERRORS = Metric("planogram_step_errors", "calls that failed: shed, late, unavailable or failed", ("step", "kind"))
UNAUTHORIZED = Metric("planogram_unauthorized", "refused: the key is missing, unknown, or lacks the scope", ("cause",))
RATE_LIMITED = Metric("planogram_rate_limited", "refused: the key, by its name, has sent too many", ("key",))
DOCUMENTS = Metric("planogram_documents", "scored documents")
TRUNCATED = Metric("planogram_truncated_documents", "scored documents that were cut to the model's length")
BATCH_FILL = Metric("planogram_batch_fill_share", "tokens of a batch / engine.batch_tokens, at most 1", (), SHARES)
QUEUE_SECONDS = Metric("planogram_queue_seconds", "from a tokenized request to its batch", (), SECONDS)
BUSY_SECONDS = Metric("planogram_ranker_busy_seconds", "seconds in which the engine computed")
CACHE_LOOKUPS = Metric("planogram_cache_lookups", "asked of a cache; result is hit or miss", ("cache", "result"))

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    STEP_SECONDS,
    STEP_ERRORS,
    UNAUTHORIZED,
    RATE_LIMITED,
    DOCUMENTS,
    TRUNCATED,
    BATCH_FILL,
    QUEUE_SECONDS,
    BUSY_SECONDS,
    CACHE_LOOKUPS,
)


class Recorder(Protocol):
    """Takes figures. Called from any thread."""

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Add `value`, above 0, to a counter, or put it into a histogram."""
        ...


class _Nobody:
    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Nobody listens in this process."""


_listener: list[Recorder] = [_Nobody()]


def listen(recorder: Recorder) -> None:
    """Send all figures of this process to a recorder, from now on."""
    _listener[:] = [recorder]


def add(metric: Metric, value: float = 1.0, **labels: str) -> None:
    """Count; 0 is nothing to count."""
    if value:
        _listener[0].record(metric, value, labels)


def observe(metric: Metric, value: float, **labels: str) -> None:
    """Put a value into a histogram."""
    _listener[0].record(metric, value, labels)


def count_request(route: str, status: int, call: Call) -> None:
    """An answered request. Its reason is why the answer is a fallback, where it is an answer."""
    degraded = call.reason if call.reason and status < 300 else "no"
    add(REQUESTS, route=route, status=str(status), degraded=degraded)
    observe(REQUEST_SECONDS, call.took_ms / 1000, route=route)


def count_documents(truncated: list[bool]) -> None:
    """The documents of one scored list, and how many of them were cut."""
    add(DOCUMENTS, len(truncated))
    add(TRUNCATED, sum(truncated))


def count_lookups(cache: str, *, hits: int, misses: int) -> None:
    """A cache was asked.

    Args:
        cache: which one; few names.
        hits: how many answers it knew.
        misses: how many it did not.
    """
    add(CACHE_LOOKUPS, hits, cache=cache, result="hit")
    add(CACHE_LOOKUPS, misses, cache=cache, result="miss")
