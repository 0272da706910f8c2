"""A process and its descendants: counted, and ended together."""

import subprocess
import sys
import time

from planogram.benchmark.load import processes

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "print(flush=True)\\nwhile True: pass"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_a_tree_is_counted_and_ended():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    members = processes.identities(parent.pid)
    try:
        assert set(members) == {parent.pid, child}
        before_s, started_s = processes.cpu_seconds(parent.pid), time.monotonic()
        while processes.cpu_seconds(parent.pid) < before_s + 0.05 and time.monotonic() < started_s + 20:
            time.sleep(0.02)
        assert processes.cpu_seconds(parent.pid) >= before_s + 0.05  # of the child: the parent sleeps
    finally:
        processes.end(members)
    assert parent.wait(10) != 0 and processes.identities(child) == {}
    assert processes.cpu_seconds(parent.pid) == 0


def test_a_number_that_is_anothers_by_now_is_left_alone():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        processes.end({other.pid: 1}, patience_s=0.2)
        assert other.poll() is None
        other.communicate(b"\n")
