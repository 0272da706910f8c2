"""What is known of a request from its first byte to its log line."""

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


@dataclass
class Call:
    """One request.

    Attributes:
        request_id: the client's `X-Request-ID` where it is well formed, else a new one.
        path: that it asks; decides in whose words an error is told.
        reason: why the answer is a fallback, or the kind of error; empty: neither.
    """

    request_id: str
    path: str = ""
    reason: str = ""
    started_s: float = field(default_factory=time.perf_counter)

    @classmethod
    def begin(cls, request_id: str | None, path: str = "") -> "Call":
        """Start the clock."""
        known = request_id is not None and REQUEST_ID.match(request_id)
        return cls(request_id if request_id and known else uuid.uuid4().hex, path)

    @property
    def took_ms(self) -> float:
        """Milliseconds since the request came, to the microsecond."""
        return round((time.perf_counter() - self.started_s) * 1000, 3)


def current_call(request: Request) -> Call:
    """The request's id and clock, which the guard started."""
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(current_call)]
