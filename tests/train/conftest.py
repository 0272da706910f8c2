"""Short trainings in this process, on the tiny shop."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planogram.config import FinetuneConfig, load

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
