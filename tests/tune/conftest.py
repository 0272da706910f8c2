"""Campaigns without a cluster: configurations and trials made by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from planogram.config import TuneConfig
from planogram.section import parse
from planogram.tune.trial import Trial

RATE = "optimizer.learning_rate"
SPACE = {
    RATE: {"kind": "loguniform", "low": 1e-5, "high": 1e-2},
    "backbone.dropout": {"kind": "uniform", "low": 0.0, "high": 0.3},
    "train.epochs": {"kind": "int", "low": 1, "high": 3},
    "backbone.pooling": {"kind": "choice", "values": ["pair", "mean", "cls"]},
}


def make_config(**changes: Any) -> TuneConfig:
    values = {"name": "camp", "base": {"shop": "shop"}, "space": SPACE, "search": "random", "free_gb": 0.0}
    return parse(TuneConfig, values | changes, "the test")


def make_trial(number: int, *values: float, state: str = "running", **fields: Any) -> Trial:
    """A trial with these values of ndcg@10 at steps 10, 20, … after one of the untrained model."""
    history = tuple({"step": 10.0 * place, "ndcg@10": value} for place, value in enumerate((0.1, *values)))
    params = {RATE: 1e-3, "backbone.dropout": 0.1, "train.epochs": 2, "backbone.pooling": "pair"}
    given = {"params": params, "state": state, "history": history}
    if state == "finished" and values:
        given["metrics"] = {"ndcg@10": max(values)}
    return Trial(number=number, **(given | fields))


@pytest.fixture
def config() -> Callable[..., TuneConfig]:
    """config(trials=4, …): a campaign's configuration."""
    return make_config


@pytest.fixture
def trial() -> Callable[..., Trial]:
    """trial(3, 0.5, 0.6, state="finished"): a trial and its curve."""
    return make_trial
