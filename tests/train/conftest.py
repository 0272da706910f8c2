"""Short trainings in this process, on the tiny shop."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from planogram.config import FinetuneConfig
from planogram.registry.bundle import WEIGHTS
from planogram.section import load
from planogram.train.progress import ProgressLog

RUN = [
    "backbone.name=scratch",
    "backbone.hidden_size=32",
    "backbone.layers=1",
    "backbone.attention_heads=2",
    "backbone.vocab_size=300",
    "text.max_tokens=32",
    "split.valid_share=0.25",
    "optimizer.learning_rate=1e-3",
    "train.epochs=3",
    "train.micro_batch=8",
    "train.patience=100",
    "train.precision=fp32",
    "launch.workers=0",
]


@pytest.fixture(scope="package")
def train_home(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(empty_home, tmp_path_factory.mktemp("train") / "home"))


@pytest.fixture(scope="package")
def in_home(train_home: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(train_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="package")
def configure(tiny_shop: str) -> Callable[..., FinetuneConfig]:
    def make(run: str, *overrides: str) -> FinetuneConfig:
        return load(FinetuneConfig, None, [*RUN, f"shop={tiny_shop}", f"run={run}", *overrides])

    return make


@pytest.fixture(scope="package")
def finetune(in_home: None, configure: Callable[..., FinetuneConfig]) -> Callable[..., dict[str, Any]]:
    """Run with the settings above and these overrides; returns what `run` does and the loop's `result.json`."""
    from planogram import finetune, storage

    def start(run: str, *overrides: str) -> dict[str, Any]:
        made = finetune.run(configure(run, *overrides))
        return made | {"result": storage.read_json(storage.join(made["run_dir"], "result.json"))}

    return start


@pytest.fixture(scope="package")
def whole(finetune: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A run that nothing interrupts."""
    return finetune("whole")


@pytest.fixture(scope="session")
def die_at() -> Callable[[pytest.MonkeyPatch, int], None]:
    """Raise InterruptedError at an optimizer step: it stands for whatever ends a process."""

    def prepare(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        record = ProgressLog.step

        def step_or_die(self, at: int, loss: float, learning_rate: float) -> None:
            if at == step:
                raise InterruptedError
            record(self, at, loss, learning_rate)

        monkeypatch.setattr(ProgressLog, "step", step_or_die)

    return prepare


@pytest.fixture(scope="session")
def assert_same() -> Callable[[dict, dict], None]:
    """Same validations, same best step, same weights and same bundle."""

    def check(run: dict, expected: dict) -> None:
        assert run["result"]["best_step"] == expected["result"]["best_step"]
        history, wanted = run["result"]["history"], expected["result"]["history"]
        assert [entry["step"] for entry in history] == [entry["step"] for entry in wanted]
        for entry, other in zip(history, wanted, strict=True):
            assert entry == pytest.approx(other, abs=1e-6)
        weights, others = (load_file(Path(made["bundle"], WEIGHTS)) for made in (run, expected))
        assert weights.keys() == others.keys()
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, others[name], atol=1e-6, rtol=0)

    return check
