"""What a load generator is to do, and what it saw."""

from collections.abc import Sequence
from dataclasses import dataclass, field

#: what stands for a status where there was no answer
BROKEN, TIMEOUT = 0, -1
#: of a cache: what a response says
NO_CACHE, MISS, HIT = -1, 0, 1


@dataclass(frozen=True)
class Plan:
    """Requests to one server.

    Attributes:
        url: of the server, without a slash at its end.
        path: of the route.
        bodies: different ones.
        order: which of them are sent, in turn, from the start again after the last.
        seconds: of load.
        clients: a closed loop: so many, each of which waits for its answer before it asks again. 0: an open loop.
        rate: of an open loop: random (Poisson) arrivals per second, whatever the server does.
        probe_s: after it: seconds in which one client asks, answer by answer.
        timeout_s: after which a client gives up.
        key: API key of all requests; empty: none.
        expected: scores of each body's documents, in their order; empty: bodies are not looked into.
        tolerance: of a score.
        seed: of the arrivals.
    """

    url: str
    path: str
    bodies: Sequence[bytes]
    order: Sequence[int]
    seconds: float
    clients: int = 0
    rate: float = 0.0
    probe_s: float = 0.0
    timeout_s: float = 30.0
    key: str = field(default="", repr=False)
    expected: Sequence[Sequence[float]] = ()
    tolerance: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """One request.

    Attributes:
        due_s: when it was to be sent, since the start; in an open loop it counts from then, sent or not.
        seconds: until its answer was whole, or until there was none.
        status: of HTTP, `BROKEN` or `TIMEOUT`.
        retry_after: the answer said when to come again.
        cache: `NO_CACHE`, `MISS` or `HIT`.
        stages: milliseconds of the server's stages, by their names (Server-Timing).
        wrong: the answer was 200 and its scores were not those expected.
        degraded: the answer says that it is a fallback.
        probe: sent after the load.
    """

    due_s: float
    seconds: float
    status: int
    retry_after: bool = False
    cache: int = NO_CACHE
    stages: dict[str, float] = field(default_factory=dict)
    wrong: bool = False
    degraded: bool = False
    probe: bool = False

    @property
    def answered(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Load:
    """What a plan came to.

    Attributes:
        samples: in no order.
        wall_s: from the first request to the last answer, probes left out.
        cpu_s: of the generator's process.
    """

    samples: list[Sample]
    wall_s: float
    cpu_s: float
