"""What is reported of a head."""

import numpy as np
import pytest

from planogram.data.examples import TASKS, examples
from planogram.errors import ConfigError
from planogram.evaluate.heads import beside_floor, graded_intervals, head_metrics
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


def _noisy(users: int, rows: int):
    """Every user likes all or nothing, and a score that half knows it."""
    generator = np.random.default_rng(0)
    liked = np.repeat(generator.integers(0, 2, users), rows).astype(float)
    scores = np.clip(0.3 + 0.3 * liked + generator.normal(0, 0.2, users * rows), 0, 1).astype(np.float32)
    return liked, np.repeat(np.arange(users), rows), scores


def test_an_interval_holds_the_metric_and_is_wider_where_rows_belong_together():
    liked, users, scores = _noisy(30, 10)
    pairs = [("u", str(row)) for row in range(len(liked))]
    head, spec = Head(name="preference"), TASKS["preference"]
    together, apart = (
        graded_intervals(head, spec, examples(pairs, liked, groups), scores, 200, 0)
        for groups in (users, np.arange(len(liked)))
    )
    value = head_metrics(head, spec, examples(pairs, liked, users), scores)["log_loss"]
    assert together["log_loss"][0] < value < together["log_loss"][1]
    assert set(together) >= {"auc", "log_loss", "calibration_error"}
    widths = [interval["calibration_error"][1] - interval["calibration_error"][0] for interval in (together, apart)]
    assert widths[0] > widths[1]


def test_one_group_has_no_interval():
    scores = np.array([0.1, 0.9], dtype=np.float32)
    assert graded_intervals(Head(name="click"), TASKS["click"], graded([0, 1]), scores, 100, 0) == {}


def test_a_model_stands_beside_one_number_alone():
    liked, users, scores = _noisy(30, 10)
    known = examples([("u", str(row)) for row in range(len(liked))], liked, users)
    known.features["share"] = np.where(np.arange(len(liked)) % 10, 1 - liked, np.nan)
    found = beside_floor(Head(name="preference"), known, scores, "share", 200, 0)
    auc = head_metrics(Head(name="preference"), TASKS["preference"], known, scores)["auc"]
    assert found["auc"] < 0.2 and found["gain"] == pytest.approx(auc - found["auc"])
    assert found["gain_interval"][0] <= found["gain"] <= found["gain_interval"][1]


def test_a_floor_of_words_is_refused():
    known = graded([0, 1])
    known.features["brand"] = ["Acme", "Other"]
    with pytest.raises(ConfigError, match="floor=brand, which is no number"):
        beside_floor(Head(name="click"), known, np.array([0.1, 0.9], dtype=np.float32), "brand", 10, 0)


def test_a_floor_that_the_model_does_not_read_is_refused():
    with pytest.raises(ConfigError, match="floor=price"):
        beside_floor(Head(name="click"), graded([0, 1]), np.array([0.1, 0.9], dtype=np.float32), "price", 10, 0)
