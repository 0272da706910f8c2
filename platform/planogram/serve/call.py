"""What is known of a request from its first byte to its log line."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


@dataclass
class Call:
    """One request.

    Attributes:
        request_id: the client's `X-Request-ID` where it is well formed, else a new one.
        reason: why the answer is a fallback, or the kind of error; empty: neither.
        stages_ms: milliseconds of what the answer waited for, by name.
    """

    request_id: str
    reason: str = ""
    started_s: float = field(default_factory=time.perf_counter)
    stages_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, request_id: str | None) -> "Call":
        """Start the clock."""
        known = request_id is not None and REQUEST_ID.match(request_id)
        return cls(request_id if request_id and known else uuid.uuid4().hex)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one stage of the answer, also where it fails."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.stages_ms[name] = self.stages_ms.get(name, 0.0) + (time.perf_counter() - started_s) * 1000

    @property
    def server_timing(self) -> str:
        """The stages as the value of a `Server-Timing` header (W3C Server Timing)."""
        return ", ".join(f"{name};dur={value:.3f}" for name, value in self.stages_ms.items())

    @property
    def took_ms(self) -> float:
        """Milliseconds since the request came, to the microsecond."""
        return round((time.perf_counter() - self.started_s) * 1000, 3)
