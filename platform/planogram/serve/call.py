"""What is known of a request from its first byte to its log line."""

import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


@dataclass
class Call:
    """One request.

    Attributes:
        request_id: the client's `X-Request-ID` where it is well formed, else a new one.
        reason: why the answer is a fallback, or the kind of error; empty: neither.
        model: the model that the request asks for.
        user: who asks, as the request says.
    """

    request_id: str
    reason: str = ""
    model: str | None = None
    user: str = ""
    started_s: float = field(default_factory=time.perf_counter)

    @classmethod
    def begin(cls, request_id: str | None) -> "Call":
        """Start the clock."""
        known = request_id is not None and REQUEST_ID.match(request_id)
        call = cls(request_id if request_id and known else uuid.uuid4().hex)
        _CURRENT.set(call)
        return call

    @staticmethod
    def current() -> "Call | None":
        """The request that is being answered here; None outside of one."""
        return _CURRENT.get()

    @property
    def caller(self) -> str:
        """Who asks, as far as it is known; requests of one caller go to one model."""
        return self.user or self.request_id

    @property
    def names_version(self) -> bool:
        """Whether the request asks for one version alone."""
        return self.model is not None and ":" in self.model

    @property
    def took_ms(self) -> float:
        """Milliseconds since the request came, to the microsecond."""
        return round((time.perf_counter() - self.started_s) * 1000, 3)


_CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)
