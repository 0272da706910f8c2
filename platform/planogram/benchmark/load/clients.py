"""Clients that wait for each other's answers (closed loop), and arrivals that wait for nobody (open loop)."""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle

from planogram.benchmark.load.http1 import Answer, BadAnswerError, Connection, post
from planogram.benchmark.load.plan import BROKEN, HIT, MISS, NO_CACHE, TIMEOUT, Load, Plan, Sample

# What `/search` and its like say of an answer without the ranker, as they write it.
DEGRADED = b'"degraded":true'


def generate(plan: Plan) -> Load:
    """Carry out a plan in this process."""
    started_s = time.process_time()
    clients = _Clients(plan)
    asyncio.run(clients.run())
    return Load(clients.samples, clients.wall_s, time.process_time() - started_s)


class _Clients:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.samples: list[Sample] = []
        self.wall_s = 0.0
        self._requests = [post(plan.url, plan.path, body, plan.key) for body in plan.bodies]
        self._order: Iterator[int] = cycle(plan.order)
        self._idle: deque[Connection] = deque()
        self._started_s = 0.0

    async def run(self) -> None:
        self._started_s = time.perf_counter()
        try:
            if self.plan.clients:
                await asyncio.gather(*(self._closed() for _ in range(self.plan.clients)))
            else:
                await self._open()
        finally:
            for connection in self._idle:
                connection.close()
        answered = (sample for sample in self.samples if sample.status > 0 and not sample.probe)
        self.wall_s = max((sample.due_s + sample.seconds for sample in answered), default=0.0)

    async def _closed(self) -> None:
        await self._ask_until(self.plan.seconds, probe=False)

    async def _open(self) -> None:
        """Arrivals at random times; the probes after them do not wait for what is still under way."""
        chance = random.Random(self.plan.seed)  # noqa: S311 - arrivals, no secret
        due_s = chance.expovariate(self.plan.rate)
        async with asyncio.TaskGroup() as group:
            while due_s < self.plan.seconds:
                await asyncio.sleep(max(0.0, due_s - self._now_s()))
                group.create_task(self._one(due_s, probe=False))
                due_s += chance.expovariate(self.plan.rate)
            await asyncio.sleep(max(0.0, self.plan.seconds - self._now_s()))
            if self.plan.probe_s:
                await self._ask_until(self.plan.seconds + self.plan.probe_s, probe=True)

    async def _ask_until(self, end_s: float, *, probe: bool) -> None:
        while self._now_s() < end_s:
            await self._one(self._now_s(), probe=probe)

    async def _one(self, due_s: float, *, probe: bool) -> None:
        number = next(self._order)
        connection = self._idle.pop() if self._idle else Connection(self.plan.url)
        answer, status = None, BROKEN
        try:
            async with asyncio.timeout(self.plan.timeout_s):
                answer = await connection.send(self._requests[number])
                status = answer.status
        except TimeoutError:
            status = TIMEOUT
        except (OSError, asyncio.IncompleteReadError, BadAnswerError):
            # A port that refuses answers at once: clients that are not made of silicon take a breath.
            await asyncio.sleep(0.01)
        seconds = self._now_s() - due_s
        self._idle.append(connection)
        self.samples.append(self._sample(number, due_s, seconds, status, answer, probe))

    def _sample(
        self, number: int, due_s: float, seconds: float, status: int, answer: Answer | None, probe: bool
    ) -> Sample:
        if answer is None:
            return Sample(due_s, seconds, status, probe=probe)
        return Sample(
            due_s,
            seconds,
            status,
            retry_after="retry-after" in answer.headers,
            cache=_cache(answer),
            stages=stages(answer.headers.get("server-timing", "")),
            wrong=status == 200 and bool(self.plan.expected) and not self._as_expected(number, answer.body),
            degraded=DEGRADED in answer.body,
            probe=probe,
        )

    def _as_expected(self, number: int, body: bytes) -> bool:
        return near(scores(body), self.plan.expected[number], self.plan.tolerance)

    def _now_s(self) -> float:
        return time.perf_counter() - self._started_s


def scores(body: bytes) -> list[float] | None:
    """Scores of a rerank's documents in their order; None where the body is no such answer."""
    try:
        results = json.loads(body)["results"]
        found = {int(result["index"]): float(result["relevance_score"]) for result in results}
        return [found[index] for index in range(len(results))]
    except (ValueError, KeyError, TypeError):
        return None


def near(found: Sequence[float] | None, expected: Sequence[float], tolerance: float) -> bool:
    """Whether there are as many scores as expected, each within the tolerance."""
    if found is None or len(found) != len(expected):
        return False
    return all(abs(one - other) <= tolerance for one, other in zip(found, expected, strict=True))


def stages(header: str) -> dict[str, float]:
    """Milliseconds by stage of a `Server-Timing` header (W3C); entries without a duration are left out."""
    found = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                with suppress(ValueError):  # other servers write what they like
                    found[name] = float(value.strip('"'))
    return found


def _cache(answer: Answer) -> int:
    return {"hit": HIT, "miss": MISS}.get(answer.headers.get("x-cache", "").lower(), NO_CACHE)
