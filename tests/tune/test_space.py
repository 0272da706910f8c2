"""Points of a search space: drawn, listed, perturbed, and put into a configuration."""

from random import Random

import pytest

from planogram.errors import ConfigError
from planogram.tune.space import corners, draw, grid, perturb, with_params


def test_drawn_values_lie_in_their_bounds_and_have_their_types(config):
    space = config().space
    random = Random(0)
    points = [draw(space, random) for _ in range(300)]
    rates = [point["optimizer.learning_rate"] for point in points]
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    # Each of three orders of magnitude is alike likely.
    assert 70 < sum(rate < 1e-4 for rate in rates) < 130
    assert {point["train.epochs"] for point in points} == {1, 2, 3}
    assert {point["backbone.pooling"] for point in points} == {"pair", "mean", "cls"}


def test_a_grid_holds_every_combination_once(config):
    points = grid(config().space)
    assert len(points) == 3 * 3 * 3 * 3
    assert len({tuple(point.values()) for point in points}) == len(points)
    assert sorted({point["optimizer.learning_rate"] for point in points}) == pytest.approx([1e-5, 10**-3.5, 1e-2])


def test_a_step_that_misses_the_upper_bound_never_exceeds_it(config):
    space = config(space={"train.micro_batch": {"kind": "int", "low": 8, "high": 30, "step": 8}}).space
    assert [point["train.micro_batch"] for point in grid(space)] == [8, 16, 24]
    assert perturb(space, {"train.micro_batch": 24}, 0.0, Random(1))["train.micro_batch"] in (16, 24)


def test_a_perturbed_point_is_near_and_stays_in_its_bounds(config):
    space = config().space
    start = {
        "optimizer.learning_rate": 1e-2,
        "backbone.dropout": 0.3,
        "train.epochs": 3,
        "backbone.pooling": "cls",
    }
    random = Random(0)
    for point in (perturb(space, start, 0.0, random) for _ in range(50)):
        assert point["optimizer.learning_rate"] in (pytest.approx(8e-3), 1e-2)
        assert point["backbone.dropout"] in (pytest.approx(0.24), 0.3)
        assert point["train.epochs"] in (2, 3)
        assert point["backbone.pooling"] == "cls"


def test_corners_hold_both_ends_of_every_key(config):
    points = corners(config().space)
    for key, ends in {"train.epochs": {1, 3}, "backbone.pooling": {"pair", "mean", "cls"}}.items():
        assert {point[key] for point in points} == ends


def test_values_are_put_into_sections_without_changing_the_base():
    base = {"shop": "s", "train": {"epochs": 1}}
    assert with_params(base, {"train.epochs": 2, "loss.bce": 0.5}) == {
        "shop": "s",
        "train": {"epochs": 2},
        "loss": {"bce": 0.5},
    }
    assert base == {"shop": "s", "train": {"epochs": 1}}


def test_a_key_through_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"space\.shop\.name: 'shop' is not a section"):
        with_params({"shop": "s"}, {"shop.name": 1})


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"kind": "uniform", "low": 1.0, "high": 1.0}, "is not below"),
        ({"kind": "loguniform", "low": 0.0, "high": 1.0}, "greater than 0"),
        ({"kind": "int", "low": 3, "high": 1}, "is not below"),
        ({"kind": "choice", "values": [1]}, "at least 2"),
        ({"kind": "normal", "low": 0.0, "high": 1.0}, "kind"),
    ],
)
def test_a_parameter_that_leaves_no_choice_is_refused(config, parameter, message):
    with pytest.raises(ConfigError, match=message):
        config(space={"train.epochs": parameter})
