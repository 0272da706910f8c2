"""A campaign without a cluster: what it hands out, hears, settles, and continues."""

from pathlib import Path

import pytest

from planogram.errors import StorageError
from planogram.tune import disk
from planogram.tune.campaign import Answer, Campaign
from planogram.tune.ledger import open_ledger


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(home, clock):
    """start(config): a campaign on the one ledger of this test; a second call is its next start."""
    opened = []

    def begin(config, concurrent=2):
        while opened:
            opened.pop().__exit__(None, None, None)
        context = open_ledger(home / "tuning" / "camp")
        opened.append(context)
        return Campaign(config, context.__enter__(), concurrent, said.append, clock)

    said: list[str] = []
    begin.said = said
    yield begin
    for context in opened:
        context.__exit__(None, None, None)


def finish(campaign, number, value):
    history = [{"step": 0, "ndcg@10": 0.1}, {"step": 10, "ndcg@10": value}]
    campaign.finish(number, {"ndcg@10": value}, f"/bundle-{number}", history)


def test_trials_are_handed_out_until_there_are_enough(start, config):
    campaign = start(config(trials=2))
    numbers = [campaign.next().number for _ in range(2)]
    assert numbers == [0, 1]
    assert campaign.next() is Answer.DONE
    assert campaign.is_active(0)
    assert campaign.is_active(1)


def test_the_next_start_goes_on_with_what_was_interrupted_and_runs_nothing_finished_again(start, config):
    first = start(config(trials=4))
    handed = [first.next() for _ in range(3)]
    finish(first, 1, 0.7)
    second = start(config(trials=4))
    again = [second.next() for _ in range(3)]
    assert [trial.number for trial in again] == [0, 2, 3]
    assert [trial.attempts for trial in again] == [2, 2, 1]
    assert again[0].params == handed[0].params
    assert second.next() is Answer.DONE
    assert second.trials[1].metrics == {"ndcg@10": 0.7}


def test_a_campaign_that_is_done_goes_on_when_it_gets_more_trials(start, config):
    first = start(config(trials=1))
    finish(first, first.next().number, 0.5)
    assert start(config(trials=1)).next() is Answer.DONE
    assert start(config(trials=2)).next().number == 1


def test_a_failed_trial_is_tried_again_only_when_asked(start, config):
    first = start(config(trials=1))
    first.next()
    first.fail(0, "the disk was full")
    assert start(config(trials=1)).next() is Answer.DONE
    assert start(config(trials=1, retry_failed=True)).next().number == 0


def test_a_bad_trial_is_stopped_and_stays_so(start, config):
    asha = {"kind": "asha", "grace": 1, "reduction": 2}
    campaign = start(config(trials=3, scheduler=asha))
    for number, value in enumerate((0.9, 0.8)):
        campaign.next()
        assert campaign.hear(number, {"step": 10, "ndcg@10": value}) is (number == 0)
    assert campaign.trials[1].state == "stopped"
    assert [campaign.is_active(number) for number in (0, 1)] == [True, False]
    again = start(config(trials=3, scheduler=asha))
    assert [again.next().number for _ in range(2)] == [0, 2]
    # The rung of the first start judges trials of the second one.
    assert not again.hear(2, {"step": 10, "ndcg@10": 0.1})


def test_a_result_without_the_metric_is_a_failure_that_names_what_there_is(start, config):
    campaign = start(config(metrics={"kappa": "max"}))
    campaign.next()
    campaign.finish(0, {"ndcg@10": 0.5, "auc": 0.6}, "/b", [])
    assert campaign.trials[0].state == "failed"
    assert campaign.trials[0].reason == "no metric kappa; there are ndcg@10, auc"


def test_a_result_that_is_no_number_is_a_failure(start, config):
    campaign = start(config())
    campaign.next()
    campaign.finish(0, {"ndcg@10": float("nan")}, "/b", [])
    assert campaign.trials[0].state == "failed"


def test_hours_count_over_all_starts(start, config, clock):
    asked = config(budget={"hours": 2.0})
    for _ in range(2):
        campaign = start(asked)
        assert not isinstance(campaign.next(), Answer)
        clock.now += 3600
        campaign.tick(now=True)
        # Between two starts nothing counts.
        clock.now += 86400
    last = start(asked)
    assert last.next() is Answer.DONE
    assert last.ended == "budget.hours=2 is spent"


def test_cost_counts_each_trial_that_runs(start, config, clock):
    asked = config(budget={"cost": 5.0, "price_per_hour": 3.0})
    campaign = start(asked)
    campaign.next(), campaign.next()
    clock.now += 1800
    campaign.tick(now=True)
    assert campaign.spent.cost == pytest.approx(3.0)
    clock.now += 1800
    campaign.tick(now=True)
    assert campaign.next() is Answer.DONE
    assert campaign.ended == "budget.cost=5 is spent"


def test_a_spent_budget_interrupts_trials_which_a_larger_one_continues(start, config, clock):
    campaign = start(config(budget={"hours": 1.0}))
    campaign.next()
    clock.now += 3700
    assert not campaign.hear(0, {"step": 10, "ndcg@10": 0.5})
    assert campaign.trials[0].state == "running"
    again = start(config(budget={"hours": 2.0}))
    resumed = again.next()
    assert (resumed.number, len(resumed.history)) == (0, 1)


def test_a_full_disk_ends_the_campaign_before_a_trial_begins(start, config, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9})())
    campaign = start(config(free_gb=2.0))
    assert campaign.next() is Answer.DONE
    assert isinstance(campaign.problem, StorageError)
    assert "1.00 GB free" in str(campaign.problem)
    assert campaign.trials == {}


def test_what_happens_is_said_in_lines(start, config):
    campaign = start(config(trials=1))
    campaign.next()
    finish(campaign, 0, 0.75)
    begun, settled = start.said
    assert begun.startswith("trial 0 begins: optimizer.learning_rate=")
    assert settled == "trial 0 finished: ndcg@10 0.7500"
