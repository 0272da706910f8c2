"""A server's processes, as Linux lists them: what they took of the CPU, and how they are ended."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat, counted behind the name, which may hold spaces.
STATE, PARENT, CPU_FIELDS, START = 0, 1, slice(11, 15), 19


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, itself first; empty where it is gone."""
    children: dict[int, list[int]] = {}
    for path in PROC.glob("[0-9]*"):
        with suppress(OSError):
            children.setdefault(int(_fields(int(path.name))[PARENT]), []).append(int(path.name))
    found = [pid] if (PROC / str(pid)).exists() else []
    for one in found:  # grows while it is walked
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree since it started, with that of descendants which their parents have waited for."""
    ticks = 0
    for one in tree(pid):
        with suppress(OSError):  # it ended a moment ago
            ticks += sum(int(field) for field in _fields(one)[CPU_FIELDS])
    return ticks / TICKS_PER_S


def identities(pid: int) -> dict[int, int]:
    """Process -> when it started, of a tree: a number alone may be another process a moment later."""
    return {one: started for one in tree(pid) if (started := _started(one)) is not None}


def end(members: dict[int, int], patience_s: float = 10.0) -> None:
    """End processes: SIGTERM, and SIGKILL for what is left. What is another's by now is left alone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _left(members):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline_s = time.monotonic() + patience_s
        while _left(members) and time.monotonic() < deadline_s:
            time.sleep(0.05)


def _left(members: dict[int, int]) -> list[int]:
    return [pid for pid, started in members.items() if _started(pid) == started]


def _started(pid: int) -> int | None:
    """Clock ticks from the start of the machine; None: it has ended."""
    with suppress(OSError):
        fields = _fields(pid)
        return None if fields[STATE] == "Z" else int(fields[START])
    return None


def _fields(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
