"""Checkpoints that are damaged, half written, or written on a full disk."""

import errno
import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from planogram import storage
from planogram.errors import TrainingError
from planogram.train import checkpoint
from planogram.train.context import TrainContext


def checkpoints(run_dir: str) -> list[str]:
    return storage.list_names(storage.join(run_dir, "checkpoints"))


@pytest.fixture(scope="module")
def interrupted(finetune, whole, tmp_path_factory, die_at) -> Path:
    """A copy of the folder of a run that died after its second and before its third checkpoint."""
    third = whole["result"]["history"][3]["step"]  # the first is before any training
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, third)
        with pytest.raises(InterruptedError):
            finetune("interrupted")
    run_dir = Path(whole["run_dir"]).parent / "interrupted"
    assert len(checkpoints(str(run_dir))) == 2
    return Path(shutil.move(run_dir, tmp_path_factory.mktemp("interrupted") / "run"))


@pytest.fixture
def run_dir(interrupted, whole) -> Path:
    """The interrupted run, at its place."""
    target = Path(whole["run_dir"]).parent / "interrupted"
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(interrupted, target))


def _share(run_dir: Path, index: int = -1) -> Path:
    return run_dir / "checkpoints" / checkpoints(str(run_dir))[index] / "rank-0-of-1"


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "bit of the optimizer": lambda share: _flip(next(share.rglob("*optim_states.pt")), 2000),
    "bit of the model": lambda share: _flip(next(share.rglob("*model_states.pt")), -1),
    "truncated model": lambda share: _truncate(next(share.rglob("*model_states.pt"))),
    "bit of the random state": lambda share: _flip(share / checkpoint.RANDOM_STATE, -1),
    "no random state": lambda share: (share / checkpoint.RANDOM_STATE).unlink(),
    "no seal": lambda share: (share / checkpoint.SEAL).unlink(),
    "truncated seal": lambda share: _truncate(share / checkpoint.SEAL),
    "empty seal": lambda share: (share / checkpoint.SEAL).write_bytes(b""),
    "no share": shutil.rmtree,
    "foreign file": lambda share: (share / "more.pt").write_bytes(b""),
}


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _loaded_step(run_dir: Path) -> int:
    """The step of the checkpoint that would be loaded."""
    context = TrainContext(0, 1, torch.device("cpu"), str(run_dir), lambda metrics: None)
    name = checkpoint._newest_whole(context)
    return int(name.removeprefix("step-")) if name else 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run_dir, whole, damage):
    first, second = (entry["step"] for entry in whole["result"]["history"][1:3])
    assert _loaded_step(run_dir) == second
    DAMAGES[damage](_share(run_dir))
    assert _loaded_step(run_dir) == first


@pytest.mark.parametrize("damage", ["bit of the optimizer", "truncated model", "no seal"])
def test_a_run_with_a_damaged_checkpoint_ends_the_same(run_dir, finetune, whole, damage, capfd, assert_same):
    DAMAGES[damage](_share(run_dir))
    assert_same(finetune("interrupted"), whole)
    assert "checkpoint skipped" in capfd.readouterr().out


def test_without_any_whole_checkpoint_the_run_starts_again(run_dir, finetune, whole, assert_same):
    for index in (0, 1):
        DAMAGES["bit of the model"](_share(run_dir, index))
    assert _loaded_step(run_dir) == 0
    assert_same(finetune("interrupted"), whole)


def test_a_full_disk_leaves_the_earlier_checkpoint_usable(run_dir, finetune, whole, monkeypatch, assert_same):
    """The disk is full while the third checkpoint is written: half of a file, and no more."""
    second = whole["result"]["history"][2]["step"]
    save_file = checkpoint.save_file

    def full(tensors, path) -> None:
        if path.name == checkpoint.RANDOM_STATE:
            save_file(tensors, path)
            _truncate(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            finetune("interrupted")
    assert _loaded_step(run_dir) == second
    assert not [path for path in (run_dir / "checkpoints").rglob("*") if ".rank" in path.name]
    assert_same(finetune("interrupted"), whole)


def test_a_full_disk_while_the_best_weights_are_written(run_dir, finetune, whole, monkeypatch, assert_same):
    bests = storage.list_names(str(run_dir / "best"))

    def full(tensors, path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            finetune("interrupted")
    assert storage.list_names(str(run_dir / "best")) == bests
    assert_same(finetune("interrupted"), whole)


def test_the_last_checkpoints_and_bests_are_kept(whole):
    steps = [entry["step"] for entry in whole["result"]["history"]]
    assert checkpoints(whole["run_dir"]) == [f"step-{step:08d}" for step in steps[-checkpoint.KEEP :]]
    bests = storage.list_names(f"{whole['run_dir']}/best")
    assert 1 <= len(bests) <= checkpoint.KEEP
    assert f"step-{whole['best_step']:08d}" in bests


def test_a_checkpoint_without_all_ranks_does_not_count(run_dir):
    share = _share(run_dir)
    share.rename(share.with_name("rank-0-of-2"))
    assert checkpoint._shares(str(share.parent)) == []
    shutil.copytree(share.with_name("rank-0-of-2"), share.with_name("rank-1-of-2"))
    assert [Path(found).name for found in checkpoint._shares(str(share.parent))] == ["rank-0-of-2", "rank-1-of-2"]
    shutil.copytree(share.with_name("rank-0-of-2"), share)
    assert checkpoint._shares(str(share.parent)) == []


def test_a_checkpoint_of_more_workers_is_not_loaded(run_dir):
    share = _share(run_dir)
    shutil.copytree(share, share.with_name("rank-0-of-2"))
    share.rename(share.with_name("rank-1-of-2"))
    context = TrainContext(0, 1, torch.device("cpu"), str(run_dir), lambda metrics: None)
    with pytest.raises(TrainingError, match="written by 2 workers") as error:
        checkpoint.load(context, engine=None)
    assert "launch.workers=2" in error.value.remedy


def test_a_new_run_has_nothing_to_load(tmp_path):
    context = TrainContext(0, 1, torch.device("cpu"), str(tmp_path), lambda metrics: None)
    assert checkpoint.load(context, engine=None) is None


class _Writer:
    """Stands for an engine: what it saves is three files of known content."""

    def __init__(self, step: int) -> None:
        self.step = step

    def save(self, folder: Path) -> None:
        for name in ("state/model.pt", "state/optimizer.pt", "state/more.pt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(f"{name} of step {self.step}".encode() * 100)


def _save(run_dir: Path, step: int) -> None:
    context = TrainContext(0, 1, torch.device("cpu"), str(run_dir), lambda metrics: None)
    checkpoint.save(context, _Writer(step), checkpoint.LoopState(step=step))


def _save_and_die(run_dir: Path, step: int, at: int) -> bool:
    """Save in a process of its own that ends at its `at`-th system call on files; True where it died."""
    pid = os.fork()
    if pid == 0:
        calls = 0

        def die(event: str, args: tuple[object, ...]) -> None:
            nonlocal calls
            if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
                calls += 1
                if calls == at:
                    os._exit(9)

        sys.addaudithook(die)
        _save(run_dir, step)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_a_save_that_dies_at_any_of_its_file_operations_costs_one_interval_at_most(tmp_path):
    """Once for every operation of the second save: the first is found whole, or the second is."""
    found = []
    for at in itertools.count(1):
        run_dir = tmp_path / str(at)
        _save(run_dir, 10)
        died = _save_and_die(run_dir, 20, at)
        found.append(_loaded_step(run_dir))
        _save(run_dir, 20)  # a resumed run comes to the same step again
        assert _loaded_step(run_dir) == 20
        if not died:
            break
    assert len(found) > 20
    assert set(found) == {10, 20}
    assert found == sorted(found)
