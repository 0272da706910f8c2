"""What is known of a request from its first byte to its log line."""

import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
# W3C Trace Context: version, trace, parent span, flags. A trace of zeros is none.
TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")


@dataclass
class Call:
    """One request.

    Attributes:
        request_id: the client's `X-Request-ID` where it is well formed, else a new one.
        path: that it asks; decides in whose words an error is told.
        reason: why the answer is a fallback, or the kind of error; empty: neither.
        key: name of the API key, never the key; empty: none.
        budget: takes from what the key may have ranked and embedded, or raises RateLimitedError; None: no limit.
        trace_id: 32 hexadecimal digits of the client's or the server's trace; empty: none.
        stages_ms: milliseconds of what the answer waited for, by name.
        cache: `hit` where all scores were remembered, `miss` where one was not; empty: there is no cache.
        model: the model that the request asks for.
        user: who asks, as the request says.
        canary: whether the canary ranked.
    """

    request_id: str
    path: str = ""
    reason: str = ""
    key: str = ""
    budget: Callable[[int], None] | None = None
    trace_id: str = ""
    model: str | None = None
    user: str = ""
    canary: bool = False
    started_s: float = field(default_factory=time.perf_counter)
    stages_ms: dict[str, float] = field(default_factory=dict)
    cache: str = ""

    @classmethod
    def begin(cls, request_id: str | None, path: str = "", traceparent: str | None = None) -> "Call":
        """Start the clock.

        Args:
            request_id: the header `X-Request-ID`.
            path: that the request asks.
            traceparent: the header of that name.
        """
        known = request_id is not None and REQUEST_ID.match(request_id)
        name = request_id if request_id and known else uuid.uuid4().hex
        trace = TRACEPARENT.match(traceparent or "")
        call = cls(name, path, trace_id=trace[1] if trace else "")
        _CURRENT.set(call)
        return call

    @staticmethod
    def current() -> "Call | None":
        """The request that is being answered here; None outside of one."""
        return _CURRENT.get()

    def charge(self, documents: int) -> None:
        """Count what is ranked or embedded for the key, before it is.

        Args:
            documents: 0 asks whether there may be any.

        Raises:
            RateLimitedError: that was too much, or what came before it.
        """
        if self.budget:
            self.budget(documents)

    def waited(self, stage: str, seconds: float) -> None:
        """Count seconds for one stage of the answer."""
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + seconds * 1000

    @property
    def server_timing(self) -> str:
        """The stages as the value of a `Server-Timing` header (W3C Server Timing)."""
        return ", ".join(f"{name};dur={value:.3f}" for name, value in self.stages_ms.items())

    @property
    def caller(self) -> str:
        """Who asks, as far as it is known; requests of one caller go to one model."""
        return self.user or self.key or self.request_id

    @property
    def names_version(self) -> bool:
        """Whether the request asks for one version alone."""
        return self.model is not None and ":" in self.model

    @property
    def took_ms(self) -> float:
        """Milliseconds since the request came, to the microsecond."""
        return round((time.perf_counter() - self.started_s) * 1000, 3)


_CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


# A coroutine, since FastAPI runs other dependencies in a thread, which costs a request a millisecond.
async def current_call(request: Request) -> Call:
    """The request's id and clock, which the guard started."""
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(current_call)]
