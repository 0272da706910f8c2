"""How trials are sized for a cluster, and what Ray Tune's reports come to."""

import json
from types import SimpleNamespace

import pytest

from planogram.config import LaunchConfig
from planogram.errors import ConfigError
from planogram.section import parse
from planogram.tune.campaign import Answer
from planogram.tune.executor import _Feed, _Judge
from planogram.tune.sizing import fitting, resources
from planogram.tune.worker import FAILURE, OUTCOME


def test_a_trial_with_workers_books_no_cpu_for_itself():
    assert "CPU" not in resources(LaunchConfig(workers=2))
    assert sum(resources(LaunchConfig(workers=2)).values()) > 0


def test_a_trial_that_trains_itself_books_what_it_trains_on():
    assert resources(LaunchConfig(workers=0, cpus_per_worker=3)) == {"CPU": 3.0}
    assert resources(LaunchConfig(workers=0, gpu=True, gpu_share=0.5)) == {"CPU": 1.0, "GPU": 0.5}


@pytest.mark.parametrize(
    ("launch", "cluster", "count"),
    [
        ({"workers": 2}, {"CPU": 2.0}, 1),
        ({"workers": 2}, {"CPU": 9.0}, 4),
        ({"workers": 4}, {"CPU": 2.0}, 1),
        ({"workers": 0, "cpus_per_worker": 2}, {"CPU": 8.0}, 4),
        ({"workers": 2, "gpu": True}, {"CPU": 64.0, "GPU": 8.0}, 4),
        ({"workers": 1, "gpu": True, "gpu_share": 0.25}, {"CPU": 64.0, "GPU": 2.0}, 8),
    ],
)
def test_as_many_trials_as_the_cluster_takes(launch, cluster, count):
    assert fitting(LaunchConfig(**launch), cluster) == count


@pytest.mark.parametrize("launch", [{"workers": 2, "gpu": True}, {"workers": 1}])
def test_only_a_single_worker_with_a_gpu_shares_it(launch):
    with pytest.raises(ConfigError, match="gpu_share is for a single worker"):
        parse(LaunchConfig, {**launch, "gpu_share": 0.5}, "the test")


class Heard:
    """A campaign that keeps what it is told, and lets nobody go on."""

    def __init__(self, *active):
        self.active, self.told = set(active), []

    def is_active(self, number):
        return number in self.active

    def hear(self, number, metrics):
        self.told.append((number, metrics))
        return False

    def finish(self, number, **outcome):
        self.active.discard(number)
        self.told.append((number, outcome))

    def fail(self, number, reason):
        self.active.discard(number)
        self.told.append((number, reason))


TRIAL = SimpleNamespace(config={"number": 4}, get_error=lambda: None, should_recover=lambda: False)


def test_a_validation_is_heard_without_what_ray_tune_adds_and_may_end_the_trial():
    campaign = Heard(4)
    result = {
        "step": 10,
        "auc": 0.5,
        "training_iteration": 2,
        "pid": 77,
        "time_total_s": 1.5,
        "done": False,
        "date": "x",
    }
    assert _Judge(campaign).on_trial_result(None, TRIAL, result) == "STOP"
    assert campaign.told == [(4, {"step": 10.0, "auc": 0.5})]


def test_an_outcome_counts_once_though_ray_tune_repeats_it():
    campaign = Heard(4)
    outcome = {"metrics": {"auc": 0.5}, "bundle": "/b", "history": []}
    for _ in range(2):
        assert _Judge(campaign).on_trial_result(None, TRIAL, {OUTCOME: json.dumps(outcome)}) == "CONTINUE"
    _Judge(campaign).on_trial_complete(None, TRIAL, {})
    assert campaign.told == [(4, outcome)]


def test_failures_have_their_reason():
    campaign = Heard(4)
    _Judge(campaign).on_trial_result(None, TRIAL, {FAILURE: "the loss is nan"})
    assert campaign.told == [(4, "the loss is nan")]
    died = Heard(4)
    _Judge(died).on_trial_error(None, TRIAL)
    assert died.told == [(4, "its process died")]


def test_a_trial_that_is_started_again_has_not_failed():
    campaign = Heard(4)
    again = SimpleNamespace(**(vars(TRIAL) | {"should_recover": lambda: True}))
    _Judge(campaign).on_trial_error(None, again)
    assert campaign.told == []


def test_ray_tune_is_fed_until_there_are_no_more(config, trial):
    answers = iter([trial(0), Answer.WAIT, Answer.DONE])
    feed = _Feed(SimpleNamespace(next=lambda: next(answers)), lambda found: f"job {found.number}")
    assert feed.suggest("x") == {"number": 0, "job": "job 0"}
    assert feed.suggest("x") is None
    assert feed.suggest("x") == feed.FINISHED


def test_what_ray_tune_pickles_holds_nothing():
    import pickle

    for front in (_Feed(Heard(), str), _Judge(Heard())):
        assert vars(pickle.loads(pickle.dumps(front))) == {}
