"""What a trial runs: its configuration, and the figures that come of it."""

from pathlib import Path

import pytest

from planogram import section
from planogram.config import CompressConfig, DemandConfig, FinetuneConfig, NextItemConfig, PretrainConfig, TuneConfig
from planogram.errors import ConfigError, NotFoundError
from planogram.tune import stages

ROOT = Path(__file__).parents[2]
ONE = {"train.epochs": {"kind": "int", "low": 1, "high": 2}}


def test_the_shipped_campaign_fits_its_stage():
    config = section.load(TuneConfig, str(ROOT / "jobs" / "configs" / "tune.yaml"))
    stages.check(config)
    assert (config.search, config.scheduler.kind, config.trials) == ("tpe", "asha", 12)


@pytest.mark.parametrize(
    ("stage", "base", "expected"),
    [
        ("finetune", {}, FinetuneConfig),
        ("finetune", {"task": "next_item"}, NextItemConfig),
        ("finetune", {"task": "demand"}, DemandConfig),
        ("pretrain", {}, PretrainConfig),
        ("compress", {"bundle": "b@champion"}, CompressConfig),
    ],
)
def test_every_stage_can_be_tuned(stage, base, expected):
    assert isinstance(stages.stage_config(stage, {"shop": "shop", **base}), expected)


def test_a_trial_has_a_run_of_its_own_and_its_values(config, trial, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", "/state")
    asked = config(space=ONE)
    found = trial(7, params={"train.epochs": 2})
    values = stages.trial_values(asked, stages.base_values(asked), found, None)
    made = stages.stage_config("finetune", values)
    assert (made.run, made.train.epochs, made.tracking.experiment) == ("camp-0007", 2, "planogram-tuning")
    assert Path(made.shop).is_absolute()
    assert stages.run_folder("camp", 7) == "/state/runs/camp-0007"


def test_a_trial_of_compress_writes_below_its_own_run(config, trial, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", "/state")
    space = {"quantize.float_layers": {"kind": "int", "low": 0, "high": 2}}
    asked = config(stage="compress", base={"shop": "s", "bundle": "b"}, space=space)
    values = stages.trial_values(asked, stages.base_values(asked), trial(3, params={"quantize.float_layers": 1}), None)
    made = stages.stage_config("compress", values)
    assert (made.out, made.recovery.run) == ("/state/runs/camp-0003/bundle", "camp-0003")
    assert made.quantize.float_layers == 1


def test_weights_are_handed_on_as_the_backbone(config, trial):
    asked = config(space=ONE, base={"shop": "s", "backbone": {"dropout": 0.2}})
    child = trial(5, params={"train.epochs": 1}, parent=2)
    values = stages.trial_values(asked, asked.base, child, trial(2, bundle="/runs/camp-0002/bundle"))
    assert values["backbone"] == {"dropout": 0.2, "name": "/runs/camp-0002/bundle"}


def test_the_base_may_be_the_yaml_of_the_stage(config):
    asked = config(base=str(ROOT / "jobs" / "configs" / "finetune-crowdflower.yaml"), space=ONE)
    stages.check(asked)
    assert stages.base_values(asked)["name"] == "crowdflower-ranker"


def test_weights_that_are_gone_are_not_replaced_by_others(config, trial):
    asked = config(space=ONE)
    with pytest.raises(NotFoundError, match="bundle of trial 2 was removed"):
        stages.trial_values(asked, asked.base, trial(5, parent=2), trial(2, state="finished"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"optimizer.learning_rat": {"kind": "uniform", "low": 0.1, "high": 0.2}}}, "did you mean"),
        ({"space": {"backbone.dropout": {"kind": "uniform", "low": 0.0, "high": 1.5}}}, "backbone.dropout"),
        ({"space": {"run": {"kind": "choice", "values": ["a", "b"]}}}, "the campaign's own"),
        ({"base": {"shop": "s", "repeat": {"seeds": [1, 2]}}}, "test parts"),
        ({"base": {"shop": "s", "task": "next_item", "refit": True}}, "refit"),
        ({"base": {}}, "shop is missing"),
        ({"latency": True, "base": {"shop": "s", "tower": {"features": ["price"]}}}, "latency"),
    ],
)
def test_what_cannot_start_is_refused_before_anything_runs(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        stages.check(config(**({"space": ONE} | changes)))


def test_figures_are_metrics_costs_and_sizes(bundle):
    made = {"bundle": str(bundle), "metrics": {"ndcg@10": 0.5}, "seconds": 12.0, "steps": 40, "peak_memory_mb": None}
    found = stages.figures(made, latency=True)
    assert {"ndcg@10", "seconds", "steps", "size_mb", "latency_ms"} == set(found)
    assert 0 < found["size_mb"] < 1
    assert found["latency_ms"] > 0


def test_figures_of_a_compressed_bundle_are_those_of_its_engines(bundle):
    parity = {"pairs": 10, "ndcg": 0.8, "ndcg_interval": (0.1, 0.2), "faults": ()}
    found = stages.figures({"bundle": str(bundle), "engines": {"openvino-int8": parity}})
    assert found["openvino-int8.ndcg"] == 0.8
    assert "openvino-int8.faults" not in found


def test_where_a_stage_trains_says_its_launch_section():
    pruned = {"shop": "s", "bundle": "b", "prune": {"flops": 0.5}, "recovery": {"launch": {"workers": 4}}}
    assert stages.launch_of(stages.stage_config("compress", pruned)).workers == 4
    assert stages.launch_of(stages.stage_config("compress", {"shop": "s", "bundle": "b"})).workers == 0
    assert stages.launch_of(stages.stage_config("finetune", {"shop": "s"})).workers == 2
