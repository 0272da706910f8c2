"""Clients that mean no good: broken requests, bytes that are no HTTP, and sockets that never finish what they say."""

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from planogram.benchmark.inputs import Inputs, presenting
from planogram.benchmark.load.plan import BROKEN, TIMEOUT
from planogram.benchmark.load.summary import percentiles, status_name
from planogram.benchmark.scene import Result, Scene
from planogram.benchmark.spawn import TargetError
from planogram.config import HostileConfig

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
HEAD_BYTES = 1024
DRIP_S = 1.0
# How a drip begins: headers without an end, and a body that is promised.
SLOW = (
    b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
)
Statuses = Counter[int]
UNAVAILABLE = 503
RATE_LIMITED = 429


def hostile(scene: Scene) -> Result:
    """Hostile inputs and drip-feeding sockets, beside clients that ask as ever and have a key of their own.

    Returns:
        `inputs` (how many were sent), `input_statuses` and `drip_statuses` (of the answers, with `connection` where it
        was closed without one), `server_errors` (answers of 5xx but 503), `shed_inputs` (503: a valid input came when
        the ranker had enough work; 429: its key had had enough ranked), `same_processes` (whether every replica is the
        process that it was), `p99_calm_ms` of the other clients before, `p99_ratio` to it, and their figures.

    Raises:
        TargetError: the server does not show its OpenAPI document.
    """
    config = scene.config.hostile
    plan, capacity = scene.half_loaded()
    inputs = Inputs(scene.running.url, document(scene.running.url, scene.attacker), config.raw_share, scene.attacker)
    calm = scene.generator.run(replace(plan, seconds=scene.config.seconds))
    before = _processes(scene)
    scene.generator.begin(replace(plan, seconds=config.inputs / config.rate))
    seen = asyncio.run(attack(inputs, config, plan.timeout_s, plan.seed))
    figures = scene.figures(scene.generator.end())
    answers = seen.inputs + seen.drips
    calm_ms = percentiles([sample for sample in calm.samples if sample.answered])["p99_ms"]
    return {
        "capacity_per_s": capacity,
        "inputs": seen.inputs.total(),
        "input_statuses": _named(seen.inputs),
        "drip_statuses": _named(seen.drips),
        "server_errors": sum(count for status, count in answers.items() if status >= 500 and status != UNAVAILABLE),
        "shed_inputs": answers[UNAVAILABLE] + answers[RATE_LIMITED],
        "same_processes": _processes(scene) == before,
        "p99_calm_ms": calm_ms,
        "p99_ratio": figures["p99_ms"] / calm_ms if figures["p99_ms"] and calm_ms else None,
        **figures,
    }


def document(url: str, key: str = "") -> dict[str, Any]:
    """The server's OpenAPI document.

    Args:
        url: of the server.
        key: API key; empty: none.

    Raises:
        TargetError: it does not show one.
    """
    headers = {"X-API-Key": key} if key else {}
    try:
        answered = httpx.get(f"{url}/openapi.json", headers=headers, trust_env=False)
        found: dict[str, Any] = answered.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise TargetError(f"/openapi.json: {error}", remedy="look at the target's log") from error
    return found


@dataclass(frozen=True)
class Seen:
    """How often each status was answered: to inputs, and to drips."""

    inputs: Statuses
    drips: Statuses


async def attack(inputs: Inputs, config: HostileConfig, timeout_s: float, seed: int) -> Seen:
    """Send all inputs at their rate, whatever becomes of them, while the drips last.

    Args:
        inputs: draws them.
        config: how many, how fast, and how many drips.
        timeout_s: for an answer.
        seed: of the inputs.
    """
    chance = random.Random(seed)  # noqa: S311 - inputs of a test, no secret
    seen = Seen(Counter(), Counter())
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        drips = [group.create_task(_drip(inputs, number, seen.drips)) for number in range(config.drips)]
        async with asyncio.TaskGroup() as sent:
            for number in range(config.inputs):
                await asyncio.sleep(max(0.0, began_s + number / config.rate - time.perf_counter()))
                sent.create_task(_send(inputs.url, inputs.draw(chance), timeout_s, seen.inputs))
        for drip in drips:
            drip.cancel()
    return seen


async def _send(url: str, payload: bytes, timeout_s: float, statuses: Statuses) -> None:
    statuses[await answer(url, payload, timeout_s)] += 1


async def answer(url: str, payload: bytes, timeout_s: float) -> int:
    """The status that comes back for some bytes: `BROKEN` where the connection ends without one, else `TIMEOUT`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _opened(url)
            try:
                writer.write(payload)
                return _status(await reader.read(HEAD_BYTES))
            finally:
                writer.close()
    except TimeoutError:
        return TIMEOUT
    except OSError:
        return BROKEN


async def _drip(inputs: Inputs, number: int, statuses: Statuses) -> None:
    """A byte a second, on a new connection whenever the server has had enough of one; ends with its task."""
    while True:
        try:
            reader, writer = await _opened(inputs.url)
            try:
                writer.write(presenting(inputs.key, SLOW[number % len(SLOW)]))
                statuses[await _dripped(reader, writer)] += 1
            finally:
                writer.close()
        except OSError:
            statuses[BROKEN] += 1
            await asyncio.sleep(DRIP_S)


async def _dripped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    while True:
        try:
            async with asyncio.timeout(DRIP_S):
                return _status(await reader.read(HEAD_BYTES))
        except TimeoutError:
            writer.write(b"a")


async def _opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def _status(said: bytes) -> int:
    found = STATUS.match(said)
    return int(found[1]) if found else BROKEN


def _named(statuses: Statuses) -> dict[str, int]:
    return {status_name(status): count for status, count in sorted(statuses.items())}


def _processes(scene: Scene) -> dict[str, dict[str, int]]:
    return {part: scene.server.replicas(part) for part in ("Gateway", "Retriever", "Ranker")}
