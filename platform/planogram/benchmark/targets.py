"""What a load is sent to: a process that starts, answers and ends. Our own server is here, others in `peers`."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from planogram.benchmark.spawn import TargetError, process, tail
from planogram.config import ServeFlags
from planogram.serve.check import LOOPBACK
from planogram.serve.haproxy import free_ports

#: what the flags of a column are to Ray
FLAGS: dict[ServeFlags, dict[str, str]] = {
    "none": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "RAY_SERVE_ENABLE_HA_PROXY": "0"},
    "throughput": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "0"},
    "haproxy": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
    "both": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
}
ANSWER_S = 60.0


@dataclass(frozen=True)
class Running:
    """A target that answers.

    Attributes:
        url: without a slash at its end.
        pid: of the process whose tree is the server.
        key: API key that it wants; empty: none.
    """

    url: str
    pid: int
    key: str = field(default="", repr=False)


class Target(Protocol):
    """A server that can be started."""

    @property
    def name(self) -> str:
        """In the report."""
        ...

    def started(self) -> AbstractContextManager[Running]:
        """A context manager that yields a `Running`, which answers."""
        ...


@dataclass
class PlanogramServer:
    """Our server in a process of its own.

    Args:
        name: in the report.
        config: of Ray Serve; its port is chosen at each start.
        flags: of Ray Serve.
        num_cpus: that Ray counts on; None: those of the machine.
        start_timeout_s: for all applications to be ready.
    """

    name: str
    config: dict[str, Any]
    flags: ServeFlags = "both"
    num_cpus: int | None = None
    start_timeout_s: float = 300.0
    _process: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    @contextmanager
    def started(self) -> Iterator[Running]:
        """Serve while the block runs.

        Raises:
            TargetError: it does not start; the message is the server's.
        """
        http = {**self.config.get("http_options", {}), "host": LOOPBACK, "port": free_ports(1)[0]}
        self.config = {**self.config, "http_options": http}
        command = [sys.executable, "-m", "planogram.benchmark.serve_process"]
        own = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with process(self.name, command, {**FLAGS[self.flags], **own}, talks=True) as (child, log):
            self._process = child
            first = {"config": self.config, "num_cpus": self.num_cpus, "start_timeout_s": self.start_timeout_s}
            try:
                answer = self._ask(first, self.start_timeout_s + ANSWER_S)
                yield Running(answer["url"], child.pid)
            except TargetError as error:
                raise TargetError(f"{error.given}{tail(log)}", remedy=error.remedy) from error
            finally:
                self._process = None

    def replicas(self, deployment: str = "Ranker") -> dict[str, int]:
        """Name -> process id of the replicas that run, of a deployment."""
        found = self._ask({"do": "replicas"})["replicas"]
        return {
            one["name"]: one["pid"]
            for one in found
            if one["deployment"] == deployment and one["state"] == "RUNNING" and one["pid"]
        }

    def block(self, name: str, seconds: float) -> None:
        """Let the event loop of a replica stand still."""
        self._ask({"do": "block", "replica": name, "seconds": seconds})

    def deploy(self, config: dict[str, Any]) -> None:
        """Hand over another config; the port stays."""
        self.config = {**config, "http_options": self.config["http_options"]}
        self._ask({"do": "deploy", "config": self.config})

    def _ask(self, value: dict[str, Any], patience_s: float = ANSWER_S) -> dict[str, Any]:
        child = self._process
        assert child is not None and child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(json.dumps(value) + "\n")
            child.stdin.flush()
        except BrokenPipeError as error:
            raise TargetError(f"{self.name} stopped", remedy="look at what it says") from error
        # One line for one question: nothing is ever left in the buffer for `select` to miss.
        if not select.select([child.stdout], [], [], patience_s)[0]:
            raise TargetError(f"{self.name} gave no answer for {patience_s:g} s", remedy="give it more time")
        line = child.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"{self.name} stopped"}
        if "error" in answer:
            raise TargetError(answer["error"], remedy="look at what it says")
        return answer
