"""What is broken while clients ask: each scenario is a function of a server under load, and gives JSON."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from planogram.benchmark.hostile import hostile
from planogram.benchmark.load.summary import SHED, normal_after_s, percentiles
from planogram.benchmark.scene import Result, Scene
from planogram.benchmark.spawn import TargetError
from planogram.config import ScenarioName
from planogram.serve.settings import EngineArgs

CALM_SHARE = 0.8
CALM_RATE = 1.0
BLOCKED_S = 600.0


def kill(scene: Scene) -> Result:
    """SIGKILL to one ranker after the other.

    Returns:
        `kills`, `full_strength_s` (of each: until all replicas run again; None: not within `settle_s`), and figures.
    """
    config = scene.config
    plan, capacity = scene.half_loaded()
    waits: list[float | None] = []
    scene.generator.begin(plan)
    end_s = time.monotonic() + config.seconds
    for number in count():
        time.sleep(min(config.kill_every_s, max(0.0, end_s - time.monotonic())))
        if time.monotonic() >= end_s or None in waits:
            break
        name, pid = _victim(scene, number)
        os.kill(pid, signal.SIGKILL)
        waits.append(scene.until(lambda killed=name: scene.whole_without(killed), config.settle_s))  # type: ignore[misc]
    figures = scene.figures(scene.generator.end())
    return {"capacity_per_s": capacity, "kills": len(waits), "full_strength_s": waits, **figures}


def freeze(scene: Scene) -> Result:
    """SIGSTOP to a ranker: it neither answers nor ends.

    Returns:
        As `_half_dead`.
    """
    name, pid = _victim(scene, 0)
    try:
        return _half_dead(scene, name, lambda: os.kill(pid, signal.SIGSTOP))
    finally:
        with suppress(ProcessLookupError):  # Ray has ended it
            os.kill(pid, signal.SIGCONT)


def block(scene: Scene) -> Result:
    """A call that does not return in a ranker's event loop: its process is well, and it answers nobody.

    Returns:
        As `_half_dead`.
    """
    name, _ = _victim(scene, 0)
    return _half_dead(scene, name, lambda: scene.server.block(name, BLOCKED_S))


def _half_dead(scene: Scene, name: str, halve: Callable[[], None]) -> Result:
    """`out_of_rotation_s` (until Ray Serve lists a ranker no longer as running), `full_strength_s`, `last_failure_s`.

    That is from the fault to the last request without a 2xx; None: all had one. And figures.
    """
    config = scene.config
    plan, capacity = scene.half_loaded()
    scene.generator.begin(plan)
    began_s = time.monotonic()
    time.sleep(config.seconds / 6)
    halve()
    halved_s = time.monotonic() - began_s
    gone_s = scene.until(lambda: name not in scene.server.replicas(), config.settle_s)
    whole_s = scene.until(lambda: scene.whole_without(name), config.settle_s)
    load = scene.generator.end()
    failed = [sample.due_s for sample in load.samples if not sample.answered and sample.due_s >= halved_s]
    return {
        "capacity_per_s": capacity,
        "out_of_rotation_s": gone_s,
        "full_strength_s": None if gone_s is None or whole_s is None else gone_s + whole_s,
        "last_failure_s": max(failed) - halved_s if failed else None,
        **scene.figures(load),
    }


def overload(scene: Scene) -> Result:
    """More than the server can answer.

    Returns:
        `p99_calm_ms` at 80 % of the capacity and `p99_ratio` to it, `goodput` (share of the capacity that is answered),
        `only_shed` (whether every other status is 429 or 503), `normal_after_s`, and figures.
    """
    config = scene.config
    plan = scene.plan(config.seconds)
    capacity = scene.capacity(plan)
    calm = scene.generator.run(replace(plan, rate=CALM_SHARE * capacity, seconds=config.measure_s))
    alone = scene.generator.run(replace(plan, clients=1, seconds=config.measure_s))
    load = scene.generator.run(replace(plan, rate=config.overload * capacity, probe_s=config.measure_s))
    figures = scene.figures(load)
    calm_ms, alone_ms = (percentiles([s for s in one.samples if s.answered])["p99_ms"] for one in (calm, alone))
    return {
        "capacity_per_s": capacity,
        "p99_calm_ms": calm_ms,
        "p99_ratio": figures["p99_ms"] / calm_ms if figures["p99_ms"] and calm_ms else None,
        "goodput": figures["answered_per_s"] / capacity,
        "only_shed": all(sample.answered or sample.status in SHED for sample in load.samples),
        "normal_after_s": normal_after_s(load, plan.seconds, alone_ms) if alone_ms else None,
        **figures,
    }


def redeploy(scene: Scene) -> Result:
    """The application deployed anew with other arguments: every replica of gateway and ranker is replaced.

    Returns:
        `replaced_s` (until all are new; None: not within `settle_s`), `not_2xx` (requests), and figures.
    """
    config = scene.config
    plan, capacity = scene.half_loaded()
    scene.generator.begin(plan)
    time.sleep(config.seconds / 6)
    parts = ("Gateway", "Ranker")
    before = {part: scene.server.replicas(part) for part in parts}
    if not all(before.values()):
        raise TargetError("no gateway or no ranker runs", remedy="look at the server's log")
    scene.server.deploy(changed(scene.server.config))

    def replaced() -> bool:
        now = {part: scene.server.replicas(part) for part in parts}
        return all(len(now[part]) == len(before[part]) and not now[part].keys() & before[part].keys() for part in parts)

    replaced_s = scene.until(replaced, config.settle_s)
    figures = scene.figures(scene.generator.end())
    lost = figures["requests"] - round(figures["requests"] * (figures["success"] or 0.0))
    return {"capacity_per_s": capacity, "replaced_s": replaced_s, "not_2xx": lost, **figures}


def changed(config: dict[str, Any]) -> dict[str, Any]:
    """The same config but for passes that are smaller by a token: it answers the same, and is another to Ray."""
    (application,) = config["applications"]
    engine = application["args"]["engine"]
    smaller = {**engine, "batch_tokens": engine.get("batch_tokens", EngineArgs().batch_tokens) - 1}
    args = {**application["args"], "engine": smaller}
    return {**config, "applications": [{**application, "args": args}]}


def autoscale(scene: Scene) -> Result:
    """Load comes and goes: one ranker becomes several, and one again.

    Returns:
        `grown_s` (from the start of the load until all run; None: they do not), `shrunk_s` (from its end until one
        does), `lost` (requests without a 2xx, of both times), and figures of the load.
    """
    config = scene.config
    plan = scene.plan(config.seconds)
    scene.generator.begin(replace(plan, clients=config.clients))
    grown_s = scene.until(lambda: len(scene.server.replicas()) == config.replicas, config.seconds)
    load = scene.generator.end()
    scene.generator.begin(replace(plan, rate=CALM_RATE, seconds=config.settle_s))
    shrunk_s = scene.until(lambda: len(scene.server.replicas()) == 1, config.settle_s)
    calm = scene.generator.end()
    lost = sum(not sample.answered for sample in (*load.samples, *calm.samples))
    return {"grown_s": grown_s, "shrunk_s": shrunk_s, "lost": lost, **scene.figures(load)}


def _victim(scene: Scene, number: int) -> tuple[str, int]:
    found = sorted(scene.server.replicas().items())
    if not found:
        raise TargetError("no ranker runs", remedy="look at the server's log")
    return found[number % len(found)]


SCENARIOS: dict[ScenarioName, Callable[[Scene], Result]] = {
    "kill": kill,
    "freeze": freeze,
    "block": block,
    "overload": overload,
    "redeploy": redeploy,
    "autoscale": autoscale,
    "hostile": hostile,
}
