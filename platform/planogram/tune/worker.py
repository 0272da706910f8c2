"""A trial as Ray Tune runs it: a process that runs the stage, and hands on each validation."""

import json
import os
from typing import Any

from planogram.errors import PlanogramError
from planogram.train.launch import Listener, heard_by
from planogram.tune.stages import figures, run_stage

OUTCOME, FAILURE = "planogram_outcome", "planogram_failure"


def run_trial(given: dict[str, Any]) -> None:
    """Run one trial; the process belongs to it.

    Args:
        given: `job`, JSON of `home`, `stage`, `values` and `latency`: Ray Tune would take a nested mapping apart.
    """
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    job = json.loads(given["job"])
    os.environ["PLANOGRAM_HOME"] = job["home"]
    listener = Listener(callbacks=lambda: [TuneReportCallback()], report=tune.report)
    try:
        with heard_by(listener):
            made = run_stage(job["stage"], job["values"])
        found = figures(made, latency=job["latency"])
    except PlanogramError as error:
        # Tried again it would fail again: what may pass is retried below, by the launcher.
        tune.report({FAILURE: str(error)})
        return
    outcome = {"metrics": found, "bundle": made["bundle"], "history": made.get("history", [])}
    tune.report({OUTCOME: json.dumps(outcome)})
