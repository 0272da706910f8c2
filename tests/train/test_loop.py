"""The training loop in this process: what it learns, where it stops, and what it goes on from."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from planogram import storage
from planogram.data.sampler import list_batches
from planogram.errors import ConfigError, TrainingError
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.tasks import scoring as module
from planogram.train import loop as loop_module
from planogram.train import run as run_module
from planogram.train.context import TrainContext


def learned(run: dict) -> dict:
    """What `result.json` says, without what was measured of the machine."""
    return {key: value for key, value in run["result"].items() if key not in ("seconds", "peak_memory_mb")}


def curve(run: dict) -> list[dict]:
    return storage.read_json(f"{run['run_dir']}/progress.json")["train"]


def test_training_lowers_the_loss_and_raises_the_metric(whole):
    losses = [point["loss"] for point in curve(whole)]
    # Whole epochs: the same examples, however they fell into batches.
    per_epoch = whole["steps"] // 3
    assert np.mean(losses[-per_epoch:]) < 0.97 * np.mean(losses[:per_epoch])
    history = whole["result"]["history"]
    assert whole["metrics"]["ndcg@10"] == pytest.approx(max(entry["ndcg@10"] for entry in history))


def test_every_step_is_recorded_with_its_learning_rate(whole):
    points = curve(whole)
    assert [point["step"] for point in points] == list(range(1, whole["steps"] + 1))
    rates = [point["learning_rate"] for point in points]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_validations_are_spread_over_the_epochs(whole):
    assert whole["steps"] % 3 == 0
    per_epoch = whole["steps"] // 3
    expected = [round(half * per_epoch / 2) for half in range(1, 7)]
    assert [entry["step"] for entry in whole["result"]["history"]] == [0, *expected]


def test_each_epoch_has_an_order_of_its_own_and_sees_every_example_once(finetune, monkeypatch):
    seen: list[np.ndarray] = []
    loss = module.ScoringTask.loss

    def record(self, engine, positions):
        seen.append(positions)
        return loss(self, engine, positions)

    monkeypatch.setattr(module.ScoringTask, "loss", record)
    made = finetune("orders")
    per_epoch = made["steps"] // 3
    epochs = [np.concatenate(seen[start : start + per_epoch]) for start in range(0, len(seen), per_epoch)]
    assert len(epochs) == 3
    for order in epochs:
        assert sorted(order) == list(range(len(order)))
    for one, other in itertools.combinations(epochs, 2):
        assert list(one) != list(other)


def test_the_bundle_holds_the_best_weights_and_says_where_it_comes_from(whole, configure):
    folder, manifest = open_bundle(whole["bundle"])
    best = load_file(Path(whole["run_dir"], "best", f"step-{whole['best_step']:08d}", WEIGHTS))
    for name, tensor in load_file(folder / WEIGHTS).items():
        assert torch.equal(tensor, best[name]), name
    (head,) = manifest.heads
    assert (head.low, head.high, head.grades) == (0.0, 3.0, (0.0, 1.0, 2.0, 3.0))
    assert len(head.cutoffs) == 3
    assert list(head.cutoffs) == sorted(head.cutoffs)
    assert manifest.metrics == whole["metrics"]
    assert manifest.lineage["data_digest"] == "0" * 64
    assert manifest.lineage["run"] == "whole"
    assert manifest.lineage["config"]["split"] == configure("whole").split.model_dump()


def test_the_same_seed_gives_the_same_metrics_and_weights(finetune, whole):
    again = finetune("again")
    assert learned(again) == learned(whole)
    assert [p["loss"] for p in curve(again)] == [p["loss"] for p in curve(whole)]
    weights, others = (load_file(Path(made["bundle"], WEIGHTS)) for made in (again, whole))
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name


def test_another_seed_gives_another_run(finetune, whole):
    other = finetune("other-seed", "train.seed=1", "train.max_steps=4")
    assert [p["loss"] for p in curve(other)] != [p["loss"] for p in curve(whole)[:4]]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(finetune, whole, monkeypatch, share, die_at, assert_same):
    """In the first epoch, in the middle of the second, and in the last step."""
    step = round(share * whole["steps"])
    with monkeypatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(InterruptedError):
            finetune(f"killed-{step}")
    resumed = finetune(f"killed-{step}")
    assert_same(resumed, whole)
    assert [p["step"] for p in curve(resumed)] == [p["step"] for p in curve(whole)]
    assert [p["loss"] for p in curve(resumed)] == pytest.approx([p["loss"] for p in curve(whole)], abs=1e-6)


def test_a_run_interrupted_before_its_first_checkpoint_starts_again(finetune, whole, monkeypatch, die_at, assert_same):
    with monkeypatch.context() as patch:
        die_at(patch, 2)
        with pytest.raises(InterruptedError):
            finetune("killed-early")
    assert_same(finetune("killed-early"), whole)


def test_a_run_that_has_ended_is_not_run_again(finetune, whole, monkeypatch):
    def forbidden(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(run_module, "train", forbidden)
    again = finetune("whole")
    assert again["result"] == whole["result"]
    assert again["bundle"] == whole["bundle"]
    assert again["metrics"] == whole["metrics"]


@pytest.mark.parametrize("override", ["train.seed=9", "loss.mse=1", "backbone.dropout=0.2", "name=other"])
def test_another_configuration_does_not_resume(finetune, whole, override):
    with pytest.raises(ConfigError, match=f"another {override.partition('.')[0].partition('=')[0]}"):
        finetune("whole", override)


def test_seconds_and_memory_are_those_of_the_steps_that_count_also_over_a_resume(finetune, whole, monkeypatch, die_at):
    """A clock that ticks once for each look at it: a micro step lasts one second, and so would a validation."""
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    with monkeypatch.context() as patch:
        patch.setattr(TrainContext, "peak_memory_mb", 900.0)
        die_at(patch, round(0.6 * whole["steps"]))
        with pytest.raises(InterruptedError):
            finetune("measured")
    monkeypatch.setattr(TrainContext, "peak_memory_mb", 700.0)
    made = finetune("measured")
    assert made["seconds"] == made["steps"] == whole["steps"]
    assert made["peak_memory_mb"] == 900.0


def test_the_result_counts_the_weights(whole):
    weights = load_file(Path(whole["bundle"], WEIGHTS))
    assert whole["parameters"] == whole["trainable_parameters"] == sum(tensor.numel() for tensor in weights.values())


def test_accumulation_resumes_at_whole_steps(finetune, monkeypatch, die_at, assert_same):
    settings = ("train.accumulation=2", "train.epochs=2")
    expected = finetune("accumulated", *settings)
    with monkeypatch.context() as patch:
        die_at(patch, expected["steps"] // 2 + 1)
        with pytest.raises(InterruptedError):
            finetune("accumulated-killed", *settings)
    assert_same(finetune("accumulated-killed", *settings), expected)


def test_max_steps_ends_the_run_and_its_schedule(finetune):
    made = finetune("short", "train.max_steps=5", "train.epochs=100")
    assert made["steps"] == 5
    assert not made["stopped_early"]
    assert made["result"]["history"][-1]["step"] == 5
    assert curve(made)[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)


def test_early_stopping_ends_the_run_and_keeps_the_best(finetune, monkeypatch):
    metrics = itertools.chain([0.5, 0.7, 0.6, 0.7], itertools.repeat(0.1))
    monkeypatch.setattr(module.ScoringTask, "validate", lambda self, logits: {"ndcg@10": next(metrics)})
    made = finetune("early", "train.patience=2", "train.epochs=20")
    history = made["result"]["history"]
    assert made["stopped_early"]
    assert [entry["ndcg@10"] for entry in history] == [0.5, 0.7, 0.6, 0.7]
    assert made["best_step"] == history[1]["step"]
    assert made["result"]["best_metric"] == 0.7
    assert made["steps"] == history[-1]["step"]
    assert storage.exists(f"{made['run_dir']}/best/step-{made['best_step']:08d}")


def test_a_loss_that_is_not_finite_ends_the_run_with_a_reason(finetune, monkeypatch):
    loss = module.ScoringTask.loss
    monkeypatch.setattr(module.ScoringTask, "loss", lambda *args: loss(*args) * float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan") as error:
        finetune("diverged")
    assert "learning_rate" in error.value.remedy


def test_batches_of_the_task_are_those_of_the_sampler(configure, in_home, finetune, whole):
    from planogram.train.context import local_context

    config = configure("whole")
    task = module.ScoringTask(config, local_context(whole["run_dir"]), Path(whole["run_dir"], "initial"))
    lengths = np.asarray(task.training_tokens.lengths)
    expected = list_batches(task.training.groups, lengths, 1, 8, 1, np.random.default_rng([0, 2]))
    for batch, other in zip(task.micro_batches(2), expected, strict=True):
        assert np.array_equal(batch, other)
    # The three parts share no query.
    parts = [module.load("relevance", module.source(config, part)) for part in ("train", "valid", "test")]
    queries = [{query for query, _ in part.pairs} for part in parts]
    assert sum(map(len, queries)) == len(set.union(*queries)) == 12
