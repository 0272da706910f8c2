"""Attention against merit, by hand."""

import math

import numpy as np
import pytest

from planogram.evaluate.exposure import divergence


def test_the_same_shares_do_not_diverge():
    assert divergence(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == pytest.approx(0)


def test_the_divergence_is_kullback_and_leibler_s():
    expected = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert divergence(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(expected)


def test_a_brand_without_merit_costs_what_it_takes_from_the_others():
    assert divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))
