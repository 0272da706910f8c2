"""Optuna, told of the trials of a ledger."""

from random import Random
from statistics import median

import pytest

from planogram.config import TuneConfig
from planogram.section import parse
from planogram.tune import tpe
from planogram.tune.space import draw
from planogram.tune.trial import Trial

SPACE = {
    "good": {"kind": "uniform", "low": 0.0, "high": 1.0},
    "idle": {"kind": "loguniform", "low": 1e-4, "high": 1.0},
    "steps": {"kind": "int", "low": 1, "high": 9, "step": 3},
    "sizes": {"kind": "choice", "values": [[1, 2], [3], None]},
}


@pytest.fixture
def asked() -> TuneConfig:
    values = {"name": "c", "base": {}, "space": SPACE, "metrics": {"score": "max"}, "startup": 5}
    return parse(TuneConfig, values, "the test")


def tried(config, count, state="finished"):
    """Trials of a function that has its maximum where `good` is 0.8, and knows nothing of the rest."""
    trials = []
    for number in range(count):
        params = draw(config.space, Random(number))
        score = 1 - (params["good"] - 0.8) ** 2
        trials.append(Trial(number, params, state=state, metrics={"score": score}))
    return trials


def test_it_looks_where_trials_were_good(asked):
    trials = tried(asked, 30)
    points = [tpe.suggest(asked, trials, seed) for seed in range(15)]
    assert abs(median(point["good"] for point in points) - 0.8) < 0.1


def test_it_gives_values_of_the_space(asked):
    for seed in range(10):
        point = tpe.suggest(asked, tried(asked, 12), seed)
        assert 0 <= point["good"] <= 1
        assert 1e-4 <= point["idle"] <= 1
        assert point["steps"] in (1, 4, 7)
        assert point["sizes"] in ([1, 2], [3], None)


def test_the_same_ledger_and_seed_give_the_same_point(asked):
    trials = tried(asked, 12)
    assert tpe.suggest(asked, trials, 3) == tpe.suggest(asked, trials, 3)
    assert tpe.suggest(asked, trials, 3) != tpe.suggest(asked, trials, 4)


def test_stopped_failed_and_running_trials_are_told_too(asked):
    params = draw(asked.space, Random(0))
    curve = ({"step": 0, "score": 0.1}, {"step": 10, "score": 0.3})
    trials = [
        *tried(asked, 6),
        Trial(6, params, state="stopped", history=curve),
        Trial(7, params, state="failed"),
        Trial(8, params),
    ]
    study = tpe.study_of(asked.space, asked.metrics, trials)
    assert [each.state.name for each in study.trials] == ["COMPLETE"] * 6 + ["PRUNED", "FAIL", "RUNNING"]
    assert study.trials[6].intermediate_values == {10: 0.3}
    assert set(tpe.suggest(asked, trials, 0)) == set(SPACE)


def test_several_metrics_are_several_directions(asked):
    both = asked.model_copy(update={"metrics": {"score": "max", "ms": "min"}})
    trials = [
        Trial(t.number, t.params, state="finished", metrics={**t.metrics, "ms": float(t.number)})
        for t in tried(asked, 12)
    ]
    stopped = Trial(12, trials[0].params, state="stopped", history=({"step": 10, "score": 0.3},))
    study = tpe.study_of(both.space, both.metrics, [*trials, stopped])
    assert len(study.trials) == 12
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert set(tpe.suggest(both, [*trials, stopped], 1)) == set(SPACE)
    assert set(tpe.importance(both, trials)) == {"score", "ms"}


def test_the_key_that_matters_is_the_most_important(asked):
    shares = tpe.importance(asked, tried(asked, 60))["score"]
    assert next(iter(shares)) == "good"
    assert sum(shares.values()) == pytest.approx(1.0)


def test_of_few_or_equal_trials_nothing_is_said(asked):
    assert tpe.importance(asked, tried(asked, tpe.LEAST_TRIALS - 1)) == {}
    same = [Trial(n, draw(asked.space, Random(n)), state="finished", metrics={"score": 0.5}) for n in range(20)]
    assert tpe.importance(asked, same) == {"score": {}}
