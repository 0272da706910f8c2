"""The next trial follows from the ledger alone."""

import pytest

from planogram.errors import ConfigError
from planogram.tune.search import size, suggest


def test_a_continued_random_search_draws_what_it_would_have_drawn(config, trial):
    asked = config(seed=5)
    first = suggest(asked, [])
    assert suggest(asked, []) == first
    second = suggest(asked, [first])
    assert second.number == 1
    assert second.params != first.params
    # What became of earlier trials does not move a random search.
    assert suggest(asked, [trial(0, 0.9, state="finished")]).params == second.params


def test_a_grid_is_walked_once_from_its_first_point(config):
    asked = config(search="grid", trials=1000)
    assert size(asked) == 81
    seen = []
    while len(seen) < 81:
        seen.append(suggest(asked, seen))
    assert len({tuple(each.params.values()) for each in seen}) == 81


def test_the_smaller_number_of_trials_counts(config):
    assert size(config(trials=10, budget={"trials": 4})) == 4
    assert size(config(trials=10)) == 10


def test_a_grid_beyond_measure_is_refused(config):
    space = {f"loss.{name}": {"kind": "uniform", "low": 0.0, "high": 1.0, "points": 30} for name in "abc"}
    with pytest.raises(ConfigError, match="27000 points"):
        size(config(search="grid", space=space))


def test_tpe_begins_at_random(config):
    assert suggest(config(search="tpe", startup=3), []).params == suggest(config(), []).params
