"""What is reported of a head."""

import numpy as np
import pytest

from planogram.data.examples import TASKS, examples
from planogram.evaluate.heads import head_metrics
from planogram.registry.bundle import Head


def graded(grades: list[float]):
    return examples([("q", str(place)) for place in range(len(grades))], np.array(grades), np.zeros(len(grades), int))


def test_grades_correlate_with_scores_by_rank():
    scores = np.array([0.1, 0.2, 0.9, 0.8], dtype=np.float32)
    found = head_metrics(Head(name="relevance", low=0, high=3), TASKS["relevance"], graded([0, 1, 2, 3]), scores)
    # One pair of neighbours out of order: 1 - 6 * (1 + 1) / (4 * 15).
    assert found["spearman"] == pytest.approx(0.8)


@pytest.mark.parametrize(("grades", "scores"), [([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]), ([0, 1, 2, 3], [0.5] * 4)])
def test_yes_or_no_and_equal_scores_have_no_rank_correlation(grades, scores):
    found = head_metrics(Head(name="click"), TASKS["click"], graded(grades), np.array(scores, dtype=np.float32))
    assert "spearman" not in found


def test_a_click_model_is_measured_against_judged_grades():
    scores = np.array([0.01, 0.02, 0.03, 0.04], dtype=np.float32)
    found = head_metrics(Head(name="click"), TASKS["relevance"], graded([0, 1, 2, 4]), scores)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["ndcg@10"] == pytest.approx(1.0)
    assert "kappa" not in found
