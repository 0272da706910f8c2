"""Fine-tuning on Ray Train: two DeepSpeed workers, and what happens when one is killed."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from planogram import finetune, storage
from planogram.config import EvaluateConfig, FinetuneConfig
from planogram.evaluate import offline
from planogram.registry.bundle import WEIGHTS
from planogram.train.progress import PROGRESS, read_progress

SETTINGS = {
    "backbone": {"name": "scratch", "hidden_size": 32, "layers": 1, "attention_heads": 2, "vocab_size": 500},
    "text": {"max_tokens": 48, "fields": ["title", "description"]},
    "train": {
        "epochs": 2,
        "micro_batch": 8,
        "list_size": 4,
        "validations_per_epoch": 3,
        "patience": 100,
        "precision": "fp32",
    },
    "loss": {"bce": 1.0, "pairwise_logistic": 0.5, "listnet": 0.5},
}


def config(shop: Path, run: str, zero_stage: int = 2) -> FinetuneConfig:
    train = {**SETTINGS["train"], "zero_stage": zero_stage}
    return FinetuneConfig.model_validate({**SETTINGS, "train": train, "shop": str(shop), "run": run})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def uninterrupted(simulated_shop, home):
    return finetune.run(config(simulated_shop, "uninterrupted"))


def training_workers() -> list[psutil.Process]:
    """Those of this test's own cluster; processes come and go while they are listed."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in process.name():
                found.append(process)
    return found


def kill_a_worker_after(step: int, run_dir: str, killed: list[int]) -> None:
    """Wait for a step, then kill -9 one of the two training workers of this test's own cluster."""
    uri = storage.join(run_dir, PROGRESS)
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        progress = read_progress(uri)
        workers = training_workers() if progress and progress["step"] >= step else []
        if progress and workers:
            os.kill(workers[-1].pid, signal.SIGKILL)
            killed.append(progress["step"])
            return
        time.sleep(0.05)


def test_two_workers_learn(uninterrupted):
    history = uninterrupted["history"]
    assert history[0]["step"] == 0
    # Heads start at the rates of their targets, so a short run of a tiny model gains little; but at every validation.
    losses = [entry["log_loss"] for entry in history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.99 * losses[0]


def test_what_a_training_took_was_measured_by_its_workers(uninterrupted):
    assert uninterrupted["trainable_parameters"] == uninterrupted["parameters"] > 0
    assert uninterrupted["seconds"] > 0
    assert uninterrupted["peak_memory_mb"] > 100


def test_a_killed_worker_costs_nothing(simulated_shop, uninterrupted):
    run_dir = storage.join(storage.home(), "runs", "interrupted")
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_after, args=(40, run_dir, killed))
    killer.start()
    result = finetune.run(config(simulated_shop, "interrupted"))
    killer.join()
    assert killed
    assert killed[0] < result["steps"]
    assert result["best_step"] == uninterrupted["best_step"]
    for before, after in zip(uninterrupted["history"], result["history"], strict=True):
        assert after == pytest.approx(before, abs=1e-6)
    expected, found = (load_file(Path(r["bundle"]) / WEIGHTS) for r in (uninterrupted, result))
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) <= 1e-6


def test_zero_3_gives_the_same_model(simulated_shop, uninterrupted):
    result = finetune.run(config(simulated_shop, "zero-3", zero_stage=3))
    assert result["metrics"] == pytest.approx(uninterrupted["metrics"], abs=1e-3)


def test_evaluation_on_ray_equals_evaluation_in_process(simulated_shop, uninterrupted):
    asked = {"bundle": uninterrupted["bundle"], "shop": str(simulated_shop), "bootstrap": 50}
    distributed = offline.run(EvaluateConfig(**asked, workers=2))
    local = offline.run(EvaluateConfig(**asked, workers=0))
    assert distributed["metrics"] == pytest.approx(local["metrics"], abs=1e-6)
    low, high = local["intervals"]["ndcg@10"]
    assert low <= local["metrics"]["ndcg@10"] <= high
    assert np.isfinite(local["lexical"]["ndcg@10"])
