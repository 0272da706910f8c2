"""The server as a benchmark's process: the flags of its environment are set before Ray is imported.

It reads JSON lines from standard input and answers each with a line: first `{"config", "num_cpus", "start_timeout_s"}`,
then `{"do": "replicas"}`, `{"do": "block", "replica", "seconds"}` or `{"do": "deploy", "config"}`. It ends when the
input does.
"""

import ctypes
import json
import os
import sys
from dataclasses import asdict
from typing import IO, Any

from planogram.config import ClusterConfig
from planogram.errors import PlanogramError
from planogram.serve.control import block, redeploy, replicas
from planogram.serve.launch import serving

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Serve until standard input ends."""
    # What Ray prints goes to the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # A process of Ray whose parent ends stays in this tree: its CPU time is counted, and it ends with the server.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    asked = json.loads(sys.stdin.readline())
    try:
        cluster = ClusterConfig(num_cpus=asked["num_cpus"])
        with serving(asked["config"], cluster, asked["start_timeout_s"]) as server:
            _say(answers, {"url": server.url})
            for line in sys.stdin:
                _say(answers, _do(json.loads(line)))
    except PlanogramError as error:
        _say(answers, {"error": str(error)})
        sys.exit(1)


def _do(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["do"] == "replicas":
        return {"replicas": [asdict(replica) for replica in replicas()]}
    if asked["do"] == "block":
        block(asked["replica"], asked["seconds"])
    else:
        redeploy(asked["config"])
    return {}


def _say(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
