"""A `Backend` that is watched: how long each call took, how it failed, what was cut, and a span for it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from planogram.errors import OverloadedError
from planogram.serve import metrics
from planogram.serve.backend import Backend
from planogram.serve.call import Call
from planogram.serve.tracing import OFF, Attribute, Tracing
from planogram.serve.values import LateError, Retrieved, Scored, UnavailableError

# Method of a backend -> the step that it is. Others pass unwatched.
FIND = ("retrieve", "lookup", "similar", "popular", "recommend", "next_items", "history")
STEPS = {**dict.fromkeys(FIND, "retrieve"), "score": "rank", "explain": "explain", "embed": "embed", "demand": "demand"}


def watched(backend: Backend, tracing: Tracing = OFF) -> Backend:
    """The same backend, with metrics and spans of its calls."""
    return cast("Backend", _Watched(backend, tracing))


class _Watched:
    def __init__(self, backend: Backend, tracing: Tracing) -> None:
        self._backend = backend
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return self._step(STEPS[name], found) if name in STEPS else found

    def _step(self, step: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            started_s, current = time.perf_counter(), Call.current()
            with self._tracing.step(step) as span:
                try:
                    answer = await method(*args, **kwargs)
                except Exception as error:
                    metrics.add(metrics.STEP_ERRORS, step=step, kind=kind_of(error))
                    raise
                finally:
                    seconds = time.perf_counter() - started_s
                    metrics.observe(metrics.STEP_SECONDS, seconds, step=step)
                    if current:
                        current.waited(step, seconds)
                span.say(facts(answer))
            if isinstance(answer, Scored):
                metrics.count_documents(answer.truncated)
                if current and answer.known is not None:
                    current.cache = "hit" if answer.known == len(answer.truncated) else "miss"
            return answer

        return call


def kind_of(error: Exception) -> str:
    """How a call failed, as the metric names it."""
    if isinstance(error, LateError):
        return "late"
    if isinstance(error, UnavailableError):
        return "unavailable"
    return "shed" if isinstance(error, OverloadedError) else "failed"


def facts(answer: Any) -> dict[str, Attribute]:
    """What a span says of an answer: figures and names, no texts."""
    if isinstance(answer, Scored):
        return {
            "planogram.model": f"{answer.model.name}:{answer.model.version}",
            "planogram.candidates": len(answer.truncated),
            "planogram.truncated": sum(answer.truncated),
            "planogram.tokens": answer.num_tokens,
        }
    found = answer.products if isinstance(answer, Retrieved) else answer
    return {"planogram.candidates": len(found)} if isinstance(found, list) else {}
