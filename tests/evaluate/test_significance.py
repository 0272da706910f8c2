"""Whether a difference is luck: against distributions that are known."""

import numpy as np
import pytest

from planogram.evaluate import significance
from planogram.evaluate.significance import paired, permutation_p, quantiles


def test_a_difference_of_every_query_is_sure():
    found = paired(np.full(40, 0.1), 500, 0)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p_value == pytest.approx(1 / 501)
    assert (found.queries, found.wins, found.losses, found.ties) == (40, 40, 0, 0)


def test_differences_that_cancel_are_luck():
    found = paired(np.array([0.2, -0.2] * 30 + [0.0]), 500, 0)
    assert found.low < 0 < found.high
    assert found.p_value == 1.0
    assert (found.wins, found.losses, found.ties) == (30, 30, 1)


def test_the_permutation_test_is_the_sign_test_of_equal_sizes():
    # Of 2^5 ways to sign five equal differences, two give as large a mean: all of one sign.
    found = permutation_p(np.full(5, 0.3), 20_000, 0)
    assert found == pytest.approx(2 / 32, abs=0.006)


def test_p_values_of_no_difference_are_uniform():
    draw = np.random.default_rng(0)
    found = np.asarray([permutation_p(draw.normal(0, 1, 30), 200, seed) for seed in range(200)])
    assert (found < 0.1).mean() == pytest.approx(0.1, abs=0.06)
    assert (found < 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_the_bootstrap_s_quantiles_are_those_of_a_mean():
    values = np.random.default_rng(1).normal(0.5, 1, 400)
    low, high = quantiles(values, (0.05, 0.95), 4000, 0)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.645 * error, abs=0.01)
    assert high == pytest.approx(values.mean() + 1.645 * error, abs=0.01)


def test_resamples_drawn_in_parts_are_as_many(monkeypatch):
    monkeypatch.setattr(significance, "DRAWS", 7)
    assert significance._parts(5, 3) == [2, 2, 1]
    assert paired(np.array([0.1, 0.3, 0.2]), 50, 0).low >= 0.1


def test_without_resamples_there_is_a_mean_alone():
    found = paired(np.array([0.1, 0.3]), 0, 0)
    assert found.low == found.high == found.mean
    assert found.p_value == 1.0
