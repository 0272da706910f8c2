import math

import pytest

from planogram.train.schedule import factor

SCHEDULES = ("linear", "cosine", "constant")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_rises_to_one_in_equal_steps(schedule):
    assert [factor(schedule, step, 100, 0.1) for step in range(10)] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert factor(schedule, 10, 100, 0.1) == 1.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("cosine", [1.0, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2, 0.0]),
        ("constant", [1.0] * 5),
    ],
)
def test_the_fall_after_the_warm_up(schedule, expected):
    assert [factor(schedule, step, 100, 0.2) for step in (20, 40, 60, 80, 100)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_short_runs_stay_between_nothing_and_one_and_every_step_learns(schedule, total, warmup):
    factors = [factor(schedule, step, total, warmup) for step in range(total)]
    assert all(0 < value <= 1 for value in factors)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_beyond_the_end_nothing_is_learned(schedule):
    assert factor(schedule, 150, 100, 0.1) == pytest.approx(0.0)
