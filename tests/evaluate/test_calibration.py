"""Scores beside what they say."""

import numpy as np
import pytest

from planogram.evaluate.calibration import reliability, scaled
from planogram.evaluate.plots import reliability_diagram
from planogram.registry.bundle import Head

HEAD = Head(name="relevance", low=1.0, high=4.0)


def test_grades_are_scaled_as_a_head_learns_them():
    assert scaled(np.array([1.0, 2.5, 4.0]), HEAD).tolist() == [0.0, 0.5, 1.0]


def test_scores_that_are_the_scaled_grades_have_no_error():
    grades = np.random.default_rng(0).integers(1, 5, 300).astype(float)
    found = reliability(HEAD, grades, scaled(grades, HEAD).astype(np.float32))
    assert found["error"] == pytest.approx(0, abs=1e-6)
    assert sum(row["count"] for row in found["bins"]) == 300


def test_overconfidence_is_above_the_diagonal_below_and_below_it_above():
    draw = np.random.default_rng(0)
    truth = draw.uniform(0, 1, 4000)
    grades = (draw.uniform(0, 1, 4000) < truth).astype(float)
    sharp = 1 / (1 + np.exp(-4 * np.log(truth / (1 - truth))))
    found = reliability(Head(name="click"), grades, sharp)
    assert found["bins"][0]["grade"] > found["bins"][0]["score"]
    assert found["bins"][-1]["grade"] < found["bins"][-1]["score"]
    assert found["error"] > 3 * reliability(Head(name="click"), grades, truth)["error"]
    assert reliability_diagram(found).startswith(b"\x89PNG")


def test_a_head_that_gives_no_probability_is_not_judged():
    assert reliability(Head(name="x", activation="identity"), np.ones(3), np.array([3.0, -1.0, 0.0])) is None
