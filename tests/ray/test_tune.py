"""Campaigns on Ray Tune: trials that finish, that are stopped, and that go on after kill -9."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from planogram.config import TuneConfig
from planogram.registry.store import Registry
from planogram.section import parse
from planogram.tune.ledger import LEDGER
from planogram.tune.run import run
from planogram.tune.stages import run_folder

PATIENCE_S = 500
BASE = {
    "name": "tuned",
    "backbone": {"name": "scratch", "hidden_size": 32, "layers": 1, "attention_heads": 2, "vocab_size": 500},
    "text": {"max_tokens": 48, "fields": ["title", "description"]},
    "train": {
        "epochs": 1,
        "micro_batch": 8,
        "validations_per_epoch": 3,
        "patience": 100,
        "precision": "fp32",
        "select_by": "auc",
    },
    # A trial trains in its own process, which takes a third of the time of one more.
    "launch": {"workers": 0},
}
SPACE = {
    "optimizer.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 1e-2},
    "backbone.dropout": {"kind": "uniform", "low": 0.0, "high": 0.3},
}


def settings(name: str, shop: Path, **changes: Any) -> dict[str, Any]:
    base = {**BASE, "shop": str(shop)}
    return {
        "name": name,
        "base": base,
        "space": SPACE,
        "metrics": {"auc": "max"},
        "search": "random",
        "trials": 4,
    } | changes


def campaign(name: str, shop: Path, **changes: Any) -> TuneConfig:
    return parse(TuneConfig, settings(name, shop, **changes), "the test")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="module")
def whole(simulated_shop, home):
    """A campaign of four trials that nothing interrupts."""
    return run(campaign("whole", simulated_shop, keep=2, publish=True))


def rows(home: Path, name: str, statement: str) -> list[tuple[Any, ...]]:
    """Of a ledger that another process may be writing; empty before there is one."""
    path = home / "tuning" / name / LEDGER
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError:  # its tables are not made yet
            return []


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def test_four_trials_finish_and_the_best_comes_first(whole):
    assert whole["counts"] == {"running": 0, "finished": 4, "stopped": 0, "failed": 0}
    scores = [row["metrics"]["auc"] for row in whole["best"]]
    assert scores == sorted(scores, reverse=True)
    for row in whole["trials"]:
        assert row["attempts"] == 1
        assert row["seconds"] > 0
        # The untrained model's validation, and three of the training.
        assert [entry["step"] > 0 for entry in row["history"]] == [False, True, True, True]
        assert row["metrics"]["auc"] == pytest.approx(max(entry["auc"] for entry in row["history"]))


def test_only_the_best_bundles_and_no_checkpoints_stay(whole):
    folders = [Path(run_folder("whole", number)) for number in range(4)]
    best = {row["number"] for row in whole["best"][:2]}
    assert {number for number in range(4) if (folders[number] / "bundle").exists()} == best
    assert not any((folder / "checkpoints").exists() for folder in folders)
    assert all(row["bundle"] is None for row in whole["trials"] if row["number"] not in best)


def test_the_winner_is_published_as_the_candidate(whole):
    version = Registry().resolve("tuned@candidate")
    assert whole["published"] == version.reference


def test_the_report_is_written(whole):
    assert Path(whole["plot"]).read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path(whole["file"]).read_text())["name"] == "whole"
    assert "base64," in Path(whole["page"]).read_text()


def test_the_same_campaign_again_runs_nothing(whole, simulated_shop, home):
    again = run(campaign("whole", simulated_shop, keep=2, publish=True))
    assert [row["attempts"] for row in again["trials"]] == [1, 1, 1, 1]
    assert again["published"] == whole["published"]


def test_stopped_trials_free_their_resources(simulated_shop, home):
    import ray

    asha = {"kind": "asha", "grace": 1, "reduction": 4}
    # Heads alone learn, and those of the second one do not.
    space = {"optimizer.head_learning_rate": {"kind": "choice", "values": [1e-2, 1e-9]}}
    rates = {"learning_rate": 1e-9}
    base = {**BASE, "shop": str(simulated_shop), "launch": {"workers": 1}, "optimizer": rates}
    asked = {"space": space, "search": "grid", "metrics": {"log_loss": "min"}, "scheduler": asha, "concurrent": 1}
    result = run(campaign("halved", simulated_shop, base=base, **asked))
    good, bad = result["trials"]
    assert (good["state"], bad["state"]) == ("finished", "stopped")
    assert len(bad["history"]) == 2
    assert not (Path(run_folder("halved", 1)) / "checkpoints").exists()
    until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], "all CPUs are free")


def test_a_trial_that_cannot_train_fails_by_itself(simulated_shop, home):
    space = {"train.select_by": {"kind": "choice", "values": ["no_such_metric", "auc"]}}
    result = run(campaign("failing", simulated_shop, space=space, search="grid"))
    assert [row["state"] for row in result["trials"]] == ["failed", "finished"]
    assert "no_such_metric" in result["trials"][0]["reason"]


def kill_a_trial_after_a_report(home: Path, name: str, killed: list[int]) -> None:
    """Wait for a validation of the training, then kill -9 the process of a trial of this test's own cluster."""
    until(lambda: rows(home, name, "SELECT 1 FROM reports WHERE step > 0"), "a validation")
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ImplicitFunc" in " ".join([process.name(), *process.cmdline()]):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return


def table(result: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a campaign's table says of its first trials; training goes on to within rounding."""
    return [
        {"state": row["state"], **row["params"], "auc": pytest.approx(row["metrics"]["auc"], abs=1e-3)}
        for row in result["trials"][:count]
    ]


def found(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"state": row["state"], **row["params"], "auc": row["metrics"]["auc"]} for row in result["trials"]]


def test_a_killed_trial_goes_on_from_its_checkpoint(whole, simulated_shop, home):
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_trial_after_a_report, args=(home, "wounded", killed))
    killer.start()
    result = run(campaign("wounded", simulated_shop, trials=1))
    killer.join()
    assert killed
    (row,) = result["trials"]
    assert len(row["history"]) == 4
    assert found(result) == table(whole, 1)


def start_driver(config: Path, home: Path, address: str) -> subprocess.Popen[bytes]:
    code = "import sys; from planogram.cli import main; sys.argv = ['planogram', 'tune', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "--config", str(config), "--set", f"cluster.address={address}", "--json"]
    environment = {**os.environ, "PLANOGRAM_HOME": str(home), "RAY_AUTH_MODE": "token"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_a_killed_driver_is_continued_to_the_same_table(whole, simulated_shop, home, tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    config = tmp_path / "campaign.yaml"
    config.write_text(json.dumps(settings("killed", simulated_shop, concurrent=1, trials=2)))
    first = start_driver(config, home, address)
    finished = "SELECT number, attempts FROM trials WHERE state = 'finished'"
    begun = "SELECT 1 FROM reports JOIN trials USING (number) WHERE step > 0 AND state = 'running'"
    try:
        until(lambda: rows(home, "killed", finished) and rows(home, "killed", begun), "a finished and a running trial")
    finally:
        first.kill()
        first.wait()
    before = rows(home, "killed", finished)
    assert before == [(0, 1)]
    second = start_driver(config, home, address)
    output, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0
    result = json.loads(output)
    assert result["counts"]["finished"] == 2
    # The finished one was not begun again, the interrupted one was.
    assert [row["attempts"] for row in result["trials"]] == [1, 2]
    assert all(len(row["history"]) == 4 for row in result["trials"])
    assert found(result) == table(whole, 2)
