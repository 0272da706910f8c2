"""One round of one target: it starts, answers rightly, warms up, and is measured under each load."""

import json
from dataclasses import replace

import httpx

from planogram.benchmark.bodies import Texts, Workload, rerank
from planogram.benchmark.columns import Column, threads_of
from planogram.benchmark.load import processes
from planogram.benchmark.load.clients import scores
from planogram.benchmark.load.generator import Generator
from planogram.benchmark.load.plan import Plan
from planogram.benchmark.load.summary import Figures, normal_after_s, summarize
from planogram.benchmark.loop import engine_loop
from planogram.benchmark.spawn import TargetError
from planogram.benchmark.targets import Running
from planogram.config import BenchmarkServingConfig, EngineName

MAX_MESSAGE_CHARS = 300
#: (workload, load) -> figures
Measured = dict[tuple[str, str], Figures]


def load_name(clients: int = 0, share: float = 0.0) -> str:
    """`16 clients` of a closed loop, or `0.8x` its capacity in an open one."""
    return f"{clients} clients" if clients else f"{share:g}x"


def measure_engine(config: BenchmarkServingConfig, bundle: str, engine: EngineName, texts: Texts) -> Measured:
    """The raw loop on the requests of `rerank`.

    Raises:
        TargetError: the engine does not run here.
    """
    requests = rerank(texts)
    seconds = config.warmup_s, config.seconds
    load = engine_loop(bundle, engine, threads_of(config), requests.texts, seconds)
    # The loop is its own client: what is the generator's elsewhere is the engine's here.
    costs = {
        "generator_cpu": 0.0,
        "server_cpu": load.cpu_s / load.wall_s,
        "cpu_ms": 1000 * load.cpu_s / len(load.samples),
    }
    absent = {"offered_per_s": None, "normal_after_s": None}
    return {("rerank", load_name(1)): summarize(load, requests.pairs) | costs | absent}


def measure_server(config: BenchmarkServingConfig, column: Column, generator: Generator) -> Measured:
    """Every workload of a target under every load.

    Returns:
        What `summarize` returns, and `server_cpu` (cores that the server's processes took), `cpu_ms` (of them, per
        answer), `offered_per_s` of an open loop, and `normal_after_s` one above the capacity; None where there is none.

    Raises:
        TargetError, PeerError: it does not start, or does not answer rightly.
    """
    measured: Measured = {}
    with column.target.started() as running:
        for name, workload in column.workloads.items():
            check(running, workload)
            plan = Plan(
                running.url,
                workload.path,
                workload.bodies,
                workload.order,
                config.seconds,
                timeout_s=config.requests.timeout_s,
                seed=config.requests.seed,
            )
            generator.run(replace(plan, clients=max(config.clients), seconds=config.warmup_s))
            closed = {
                clients: _measure(running, replace(plan, clients=clients), generator, workload.pairs)
                for clients in config.clients
            }
            measured |= {(name, load_name(clients)): figures for clients, figures in closed.items()}
            if name == "rerank":
                capacity, usual_ms = (
                    closed[max(config.clients)]["answered_per_s"],
                    closed[min(config.clients)]["p99_ms"],
                )
                for share in config.loads if capacity else ():
                    probe_s = config.recovery_s if share >= 1 else 0.0
                    opened = replace(plan, rate=share * capacity, probe_s=probe_s)
                    figures = _measure(running, opened, generator, workload.pairs, usual_ms)
                    measured[name, load_name(share=share)] = figures
    return measured


def check(running: Running, workload: Workload) -> None:
    """Ask once.

    Raises:
        TargetError: the answer is not 200, is a fallback's, or does not score every document.
    """
    answer = ask(running, workload.path, workload.bodies[0])
    if json.loads(answer).get("degraded"):
        said = answer.decode()[:MAX_MESSAGE_CHARS]
        raise TargetError(f"{workload.path} answers by a fallback: {said}", remedy="look at the target's log")
    if workload.texts and len(scores(answer) or ()) != len(workload.texts[0][1]):
        raise TargetError(f"{workload.path} does not score every document", remedy="look at the target's log")


def ask(running: Running, path: str, body: bytes) -> bytes:
    """The body of an answer.

    Raises:
        TargetError: it is not 200.
    """
    try:
        with httpx.Client(timeout=60, trust_env=False) as client:
            headers = {"Content-Type": "application/json"} | ({"X-API-Key": running.key} if running.key else {})
            answer = client.post(f"{running.url}{path}", content=body, headers=headers)
    except httpx.TransportError as error:
        raise TargetError(f"{path}: {error}", remedy="look at the target's log") from error
    if answer.status_code != httpx.codes.OK:
        said = answer.text[:MAX_MESSAGE_CHARS]
        raise TargetError(f"{path} answers {answer.status_code}: {said}", remedy="look at the target's log")
    return answer.content


def _measure(running: Running, plan: Plan, generator: Generator, pairs: int, usual_ms: float | None = None) -> Figures:
    before_s = processes.cpu_seconds(running.pid)
    load = generator.run(plan)
    cpu_s = processes.cpu_seconds(running.pid) - before_s
    figures = summarize(load, pairs)
    # What is measured of the CPU lasts as long as the probes do.
    wall_s = max(load.wall_s, plan.seconds + plan.probe_s)
    answers = sum(sample.answered for sample in load.samples)
    return figures | {
        "server_cpu": cpu_s / wall_s,
        "cpu_ms": 1000 * cpu_s / answers if answers else None,
        "offered_per_s": plan.rate or None,
        "normal_after_s": normal_after_s(load, plan.seconds, usual_ms) if plan.probe_s and usual_ms else None,
    }
