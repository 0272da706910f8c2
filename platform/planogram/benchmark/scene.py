"""A server under load, as scenarios see it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from planogram.benchmark.bodies import Workload
from planogram.benchmark.load.clients import scores
from planogram.benchmark.load.generator import Generator
from planogram.benchmark.load.plan import Load, Plan
from planogram.benchmark.load.summary import summarize, timeline
from planogram.benchmark.measure import ask
from planogram.benchmark.spawn import TargetError
from planogram.benchmark.targets import PlanogramServer, Running
from planogram.config import BenchmarkReliabilityConfig

POLL_S = 0.25
WARM_SHARE = 0.3
Result = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """A server that runs, and who asks it.

    Attributes:
        attacker: API key of who means no good; empty: nobody has keys.
    """

    config: BenchmarkReliabilityConfig
    workload: Workload
    generator: Generator
    server: PlanogramServer
    running: Running
    attacker: str = field(default="", repr=False)

    def plan(self, seconds: float) -> Plan:
        """Requests whose answers are compared with what the server said before anything was broken."""
        expected = []
        for body in self.workload.bodies:
            found = scores(ask(self.running, self.workload.path, body))
            if found is None:
                raise TargetError(f"{self.workload.path} does not score every document", remedy="look at its log")
            expected.append(found)
        return Plan(
            self.running.url,
            self.workload.path,
            self.workload.bodies,
            self.workload.order,
            seconds,
            timeout_s=self.config.requests.timeout_s,
            key=self.running.key,
            expected=expected,
            tolerance=self.config.tolerance,
            seed=self.config.requests.seed,
        )

    def capacity(self, plan: Plan) -> float:
        """Answers per second in a closed loop.

        Raises:
            TargetError: there are none.
        """
        asked = replace(plan, clients=self.config.clients, seconds=self.config.measure_s)
        self.generator.run(replace(asked, seconds=WARM_SHARE * asked.seconds))
        per_s = float(summarize(self.generator.run(asked), self.workload.pairs)["answered_per_s"])
        if not per_s:
            raise TargetError("the server answers nothing", remedy="look at its log")
        return per_s

    def half_loaded(self) -> tuple[Plan, float]:
        """The load of most scenarios, and the capacity that it is a share of."""
        plan = self.plan(self.config.seconds)
        capacity = self.capacity(plan)
        return replace(plan, rate=self.config.load * capacity), capacity

    def figures(self, load: Load) -> Result:
        """What clients saw, and second by second."""
        return {**summarize(load, self.workload.pairs), "timeline": timeline(load)}

    def until(self, true: Callable[[], bool], patience_s: float) -> float | None:
        """Seconds until something is true; None: it is not within the time."""
        started_s = time.monotonic()
        while (waited_s := time.monotonic() - started_s) < patience_s:
            if true():
                return waited_s
            time.sleep(POLL_S)
        return None

    def whole_without(self, name: str) -> bool:
        """Whether as many rankers run as should, and none of this name."""
        found = self.server.replicas()
        return name not in found and len(found) == self.config.replicas
