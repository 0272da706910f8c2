"""The ledger: what it keeps over a crash, and what it refuses."""

import os
import signal
import subprocess
import sys

import pytest

from planogram.errors import ConfigError, IntegrityError, StorageError
from planogram.tune.ledger import LEDGER, open_ledger

DYING = """
import os, signal, sys
from pathlib import Path
from planogram.tune.ledger import open_ledger
from planogram.tune.trial import Trial
with open_ledger(Path(sys.argv[1])) as ledger:
    ledger.begin(100.0)
    ledger.add(Trial(0, {"a": 0.1}))
    ledger.attempt(0)
    ledger.report(0, {"step": 10, "ndcg@10": 0.5})
    ledger.touch(130.0, {0: 25.0})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_survives_kill_9_and_the_lock_does_not(tmp_path):
    died = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL
    with open_ledger(tmp_path) as ledger:
        (trial,) = ledger.trials()
        assert trial.params == {"a": 0.1}
        assert (trial.state, trial.attempts, trial.seconds) == ("running", 1, 25.0)
        assert trial.history == ({"step": 10, "ndcg@10": 0.5},)
        assert ledger.elapsed_s() == 30.0


def test_hours_add_up_over_starts(tmp_path):
    for began in (1000.0, 9000.0):
        with open_ledger(tmp_path) as ledger:
            ledger.begin(began)
            ledger.touch(began + 60, {})
    with open_ledger(tmp_path) as ledger:
        assert ledger.elapsed_s() == 120.0


def test_a_validation_that_is_repeated_counts_once(tmp_path, trial):
    with open_ledger(tmp_path) as ledger:
        ledger.add(trial(0))
        ledger.report(0, {"step": 10, "auc": 0.5})
        ledger.report(0, {"step": 10, "auc": 0.6})
        assert ledger.trials()[0].history == ({"step": 10, "auc": 0.6},)


def test_a_settled_trial_comes_back_as_it_was(tmp_path, trial):
    with open_ledger(tmp_path) as ledger:
        ledger.add(trial(0))
        ledger.settle(0, "finished", metrics={"auc": 0.75}, bundle="/b")
    with open_ledger(tmp_path) as ledger:
        (found,) = ledger.trials()
        assert (found.state, found.metrics, found.bundle, found.is_settled) == ("finished", {"auc": 0.75}, "/b", True)
        ledger.forget_bundle(0)
        assert ledger.trials()[0].bundle is None


def test_one_driver_at_a_time(tmp_path):
    with open_ledger(tmp_path), pytest.raises(StorageError, match="another process"), open_ledger(tmp_path):
        pytest.fail("a second driver got the ledger")


def test_a_campaign_keeps_its_space_but_may_get_more_trials(tmp_path, config):
    with open_ledger(tmp_path) as ledger:
        ledger.claim(config(trials=4).model_dump(mode="json"))
        ledger.claim(config(trials=8, keep=1).model_dump(mode="json"))
        with pytest.raises(ConfigError, match=r"exists with another search, seed"):
            ledger.claim(config(seed=1, search="grid").model_dump(mode="json"))


def test_a_damaged_ledger_is_refused_by_name(tmp_path):
    (tmp_path / LEDGER).write_bytes(b"this is no database, and long enough to be one " * 100)
    with pytest.raises(IntegrityError, match=r"ledger\.db is damaged"), open_ledger(tmp_path):
        pytest.fail("a damaged ledger was opened")
