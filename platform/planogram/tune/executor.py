"""Ray Tune as the executor of a campaign: it places trials, runs them, and ends those that stop.

What is tried, who goes on and what has happened stands in the campaign's ledger. Ray Tune's searchers and schedulers
keep that in memory and in a pickle that is written in place, so here both are fronts of the campaign, without a state
of their own, and each start of a campaign is a new experiment of Ray Tune in a folder that is thrown away.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from planogram import storage
from planogram.config.training import LaunchConfig
from planogram.tune.campaign import Answer, Campaign
from planogram.tune.sizing import resources
from planogram.tune.stages import trial_values
from planogram.tune.trial import Trial
from planogram.tune.worker import FAILURE, OUTCOME, run_trial

ADDED = (*AUTO_RESULT_KEYS, "checkpoint_dir_name", "timestamp")
QUIET = {
    # Trials keep the working folder of Ray's workers, since paths may be relative to it.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Ray Tune's own files are thrown away.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
}


class _Front:
    """Of a campaign, for Ray Tune, which pickles whatever it is given: nothing of it, since it is never read back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class _Feed(_Front, Searcher):
    """Asks the campaign for the next trial."""

    def __init__(self, campaign: Campaign, job: Callable[[Trial], str]) -> None:
        super().__init__()
        self._campaign, self._job = campaign, job

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002 - Ray Tune's own name means nothing here
        found = self._campaign.next()
        if isinstance(found, Answer):
            return Searcher.FINISHED if found is Answer.DONE else None
        return {"number": found.number, "job": self._job(found)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The scheduler hears it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger has it."""


class _Judge(_Front, FIFOScheduler):
    """Tells the campaign what trials report, and Ray Tune what the campaign makes of it."""

    def __init__(self, campaign: Campaign) -> None:
        super().__init__()
        self._campaign = campaign

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        number = trial.config["number"]
        if not self._campaign.is_active(number):
            # Ray Tune repeats the last result when a trial's function has returned.
            return TrialScheduler.CONTINUE
        if outcome := result.get(OUTCOME):
            self._campaign.finish(number, **json.loads(outcome))
        elif failure := result.get(FAILURE):
            self._campaign.fail(number, failure)
        elif "step" in result and not self._campaign.hear(number, _numbers(result)):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:  # noqa: ARG002
        self._fail(trial, "it ended without a result")

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        if not trial.should_recover():  # Ray Tune says so of a trial that it starts again, too
            self._fail(trial, str(trial.get_error() or "its process died"))

    def _fail(self, trial: Any, reason: str) -> None:
        if self._campaign.is_active(trial.config["number"]):
            self._campaign.fail(trial.config["number"], reason)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        self._campaign.tick()
        return super().choose_trial_to_run(tune_controller)


def _numbers(result: dict[str, Any]) -> dict[str, float]:
    """The metrics of a validation, without what Ray Tune adds."""
    return {
        name: float(value)
        for name, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ADDED
    }


def fit(campaign: Campaign, base: dict[str, Any], launch: LaunchConfig, concurrent: int) -> None:
    """Run trials until the campaign has no more, on the cluster that is connected.

    Args:
        campaign: whose trials.
        base: values that all trials share.
        launch: where a trial's workers run.
        concurrent: trials at once.
    """
    config = campaign.config

    def job(trial: Trial) -> str:
        parent = None if trial.parent is None else campaign.trials[trial.parent]
        values = trial_values(config, base, trial, parent)
        given = {"home": storage.home(), "stage": config.stage, "values": values, "latency": config.latency}
        return json.dumps(given)

    # It looks for files of results, which nobody writes here.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    with _environment(), tempfile.TemporaryDirectory(prefix="planogram-tune-") as folder:
        tune.Tuner(
            tune.with_resources(run_trial, resources(launch)),
            tune_config=tune.TuneConfig(
                search_alg=_Feed(campaign, job),
                scheduler=_Judge(campaign),
                num_samples=-1,
                max_concurrent_trials=concurrent,
                trial_dirname_creator=lambda trial: f"trial-{trial.config['number']:04d}-{trial.trial_id}",
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=config.retries),
            ),
        ).fit()


@contextmanager
def _environment() -> Iterator[None]:
    """Settings of Ray Tune, and the cluster's address, which all processes of trials are to know, while the block runs.

    When a trial is ended, an actor of Ray Train frees what its workers had booked. It asks for the cluster by
    RAY_ADDRESS; where that is not set and the machine has several clusters it dies, and nothing is freed.
    """
    import ray
    from ray.tune.execution import class_cache

    class_cache.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    given = {**QUIET, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    before = {key: os.environ.get(key) for key in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
