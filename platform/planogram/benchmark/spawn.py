"""A server as a child process: its log, its end, and the wait until it answers."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from planogram import storage
from planogram.benchmark.load import processes
from planogram.errors import PlanogramError

#: what would make a server join another cluster, or a peer load our packages
FOREIGN = ("RAY_ADDRESS", "PYTHONPATH", "PYTHONHOME")
STOP_S = 60.0
POLL_S = 0.2
MAX_LOG_CHARS = 2000


class TargetError(PlanogramError):
    """A target does not start, or stopped."""


@contextmanager
def process(
    name: str, command: Sequence[str], variables: Mapping[str, str], *, talks: bool = False
) -> "Iterator[tuple[subprocess.Popen[str], Path]]":
    """A process and the file with what it says; its whole tree ends with the block.

    Args:
        name: of the log, below `PLANOGRAM_HOME/benchmarks/logs`.
        command: program and arguments.
        variables: beside those of this process.
        talks: it answers on standard output, and ends by itself where its input ends.
    """
    log = storage.local_path(storage.join(storage.home(), "benchmarks", "logs", f"{name.replace('/', '-')}.log"))
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    with log.open("w") as file:
        child = subprocess.Popen(  # noqa: S603 - our own arguments
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if talks else file,
            stderr=file,
            text=True,
            env={**kept, **variables},
        )
        try:
            yield child, log
        finally:
            _stop(child, patience_s=STOP_S if talks else 0.0)


def _stop(child: "subprocess.Popen[str]", patience_s: float) -> None:
    members = processes.identities(child.pid)
    assert child.stdin is not None
    with suppress(BrokenPipeError):
        child.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        child.wait(patience_s)
    processes.end(members | processes.identities(child.pid))
    child.wait()
    if child.stdout:
        child.stdout.close()


def wait(child: "subprocess.Popen[str]", url: str, patience_s: float, log: Path) -> None:
    """Wait until a URL answers 200.

    Raises:
        TargetError: the process ended, or the time is over; the message is the end of its log.
    """
    deadline_s = time.monotonic() + patience_s
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline_s:
            if child.poll() is not None:
                raise TargetError(f"the server ended as it started{tail(log)}", remedy="mend what it says")
            with suppress(httpx.TransportError):
                if client.get(url).status_code == httpx.codes.OK:
                    return
            time.sleep(POLL_S)
    raise TargetError(f"no answer at {url} within {patience_s:g} s{tail(log)}", remedy="raise start_timeout_s")


def tail(log: Path) -> str:
    """The end of a log, which says more than that a server stopped."""
    text = log.read_text(errors="replace").strip()[-MAX_LOG_CHARS:]
    return f"; its log ends with: {text}" if text else ""
