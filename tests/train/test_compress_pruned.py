"""A pruned model learns again from the whole one, and is exported like any other."""

import json
from pathlib import Path

import numpy as np
import pytest

from planogram import storage
from planogram.compress import run as compress
from planogram.config import CompressConfig, SplitConfig
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import ConfigError, StorageError
from planogram.registry.bundle import open_bundle
from planogram.section import parse


@pytest.fixture(scope="module")
def config(whole, tiny_shop, tmp_path_factory):
    train = {"epochs": 6, "micro_batch": 8, "patience": 100, "precision": "fp32", "select_by": "step"}
    values = {
        "bundle": whole["bundle"],
        "shop": tiny_shop,
        "out": str(tmp_path_factory.mktemp("smaller") / "bundle"),
        "engines": ["openvino-fp32"],
        "prune": {"flops": 0.6},
        "recovery": {
            "run": "smaller",
            "rounds": 2,
            "train": train,
            "launch": {"workers": 0},
            "distill": {"labels": 0.0},
            "optimizer": {"learning_rate": 3e-4, "head_learning_rate": 3e-4},
        },
    }
    return parse(CompressConfig, values, "a test")


@pytest.fixture(scope="module")
def smaller(config, in_home):
    return compress.run(config)


def test_less_is_left_in_every_round(smaller, in_home):
    widths = []
    for number in (1, 2):
        bundle = storage.join(storage.home(), "runs", f"smaller-round-{number}", "bundle")
        widths.append(json.loads(Path(bundle, "config.json").read_text())["planogram_shape"])
    assert all(sum(widths[1][kind]) <= sum(widths[0][kind]) for kind in ("heads", "neurons"))
    assert widths[1] != widths[0]
    assert open_bundle(smaller["bundle"])[1].lineage["compressed"]["config"]["prune"]["flops"] == 0.6


def test_a_pruned_model_stays_near_the_whole_one(smaller, whole):
    pairs = [("red shoes", "red leather shoes"), ("blue lamp", "green wool lamp")]
    wanted, found = (score(load_engine(made["bundle"]), pairs, 512).values for made in (whole, smaller))
    assert 0 < np.abs(found - wanted).max() < 0.1


def test_the_export_scores_as_the_smaller_model(smaller):
    pairs = [("red shoes", "red leather shoes"), ("blue lamp", "green wool lamp")]
    engines = [load_engine(smaller["bundle"], name) for name in ("torch-fp32", "openvino-fp32")]
    wanted, found = (score(engine, pairs, 512).values for engine in engines)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_there_is_not_made_again(smaller, config, in_home):
    with pytest.raises(StorageError, match="already there"):
        compress.run(config)


def test_a_bundle_without_a_training_cannot_learn_again(tiny_bundle, tiny_shop, config, in_home, tmp_path):
    recovery = config.recovery.model_copy(update={"run": "untaught"})
    changes = {"bundle": str(tiny_bundle), "out": str(tmp_path / "x"), "split": SplitConfig(by="query")}
    asked = config.model_copy(update=changes | {"recovery": recovery})
    with pytest.raises(ConfigError, match="does not say how it was trained"):
        compress.run(asked)
