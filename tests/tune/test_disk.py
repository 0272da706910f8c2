"""Room for trials, and what is removed when they have settled."""

from pathlib import Path

import pytest

from planogram.errors import StorageError
from planogram.tune import disk
from planogram.tune.ledger import open_ledger
from planogram.tune.stages import run_folder


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """runs(0, 1): folders of these trials' runs, as a training leaves them."""
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path))

    def make(*numbers):
        for number in numbers:
            folder = Path(run_folder("camp", number))
            for part in (*disk.SCRATCH, disk.BUNDLE):
                (folder / part).mkdir(parents=True)
                (folder / part / "model.safetensors").write_bytes(b"0" * 100 * (number + 1))
            (folder / "result.json").write_text("{}")

    return make


def left(number):
    return sorted(path.name for path in Path(run_folder("camp", number)).iterdir())


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger") as opened:
        yield opened


def test_only_the_best_bundles_stay_and_no_checkpoint_of_a_finished_trial(runs, ledger, config, trial):
    runs(0, 1, 2)
    bundles = [str(Path(run_folder("camp", number), "bundle")) for number in range(3)]
    trials = [
        trial(number, value, state="finished", bundle=bundles[number]) for number, value in enumerate((0.5, 0.9, 0.7))
    ]
    for each in trials:
        ledger.add(each)
        ledger.settle(each.number, "finished", metrics=each.metrics, bundle=each.bundle)
    disk.tidy(config(keep=2), ledger, trials)
    assert [left(number) for number in range(3)] == [
        ["result.json"],
        ["bundle", "result.json"],
        ["bundle", "result.json"],
    ]
    assert [each.bundle for each in ledger.trials()] == [None, bundles[1], bundles[2]]


def test_what_may_go_on_keeps_its_checkpoints_and_what_was_stopped_does_not(runs, ledger, config, trial):
    runs(0, 1, 2)
    disk.tidy(config(), ledger, [trial(0), trial(1, state="failed"), trial(2, state="stopped")])
    assert "checkpoints" in left(0)
    assert "checkpoints" in left(1)
    assert "checkpoints" not in left(2)


def test_the_next_generation_still_finds_the_bundles_that_it_begins_with(runs, ledger, config, trial):
    runs(0, 1, 2, 3)
    trials = [
        trial(n, 0.1 * n, state="finished", bundle=str(Path(run_folder("camp", n), "bundle"))) for n in range(1, 4)
    ]
    asked = config(keep=1, scheduler={"kind": "pbt", "population": 2})
    disk.tidy(asked, ledger, [trial(0, state="failed"), *trials])
    assert all("bundle" in left(number) for number in (1, 2, 3))


def test_the_largest_model_so_far_says_how_much_a_trial_needs(runs, trial):
    assert disk.weights_bytes("camp", [trial(0)]) == 0
    runs(0, 1)
    assert disk.weights_bytes("camp", [trial(0), trial(1)]) == 200
    # Three checkpoints of four times the weights, three best ones, the initial weights, the bundle; twice; and 3 more.
    assert disk.need_bytes(200, concurrent=2, keep=3, free_gb=0.0) == 200 * (17 * 2 + 3)


def test_a_disk_without_room_is_refused_with_figures(tmp_path):
    with pytest.raises(StorageError, match=r"may need 1000000\.00 GB"):
        disk.check_room(str(tmp_path / "not" / "there"), 10**15)
    disk.check_room(str(tmp_path), 1)
