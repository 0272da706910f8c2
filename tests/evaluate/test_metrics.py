"""Metrics against values computed by hand or by scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from planogram.evaluate.lexical import bm25
from planogram.evaluate.metrics import (
    binary_metrics,
    bootstrap,
    calibration_error,
    fit_cutoffs,
    grade_of,
    per_query,
    quadratic_kappa,
)

ONE_QUERY = np.zeros(3, dtype=np.int64)


def test_ndcg_by_hand():
    metrics = per_query(np.array([3.0, 0.0, 1.0]), np.array([0.1, 0.9, 0.5]), ONE_QUERY, 10)
    found = 1 / math.log2(3) + 7 / 2
    ideal = 7 + 1 / math.log2(3)
    assert metrics["ndcg@10"] == pytest.approx([found / ideal])
    assert metrics["mrr@10"] == pytest.approx([1 / 3])


def test_recall_counts_the_best_grade_within_the_cut():
    grades, scores = np.array([2.0, 2.0, 1.0]), np.array([0.9, 0.1, 0.5])
    assert per_query(grades, scores, ONE_QUERY, 2)["recall@2"] == pytest.approx([0.5])


def test_queries_are_apart_and_single_candidates_are_left_out():
    groups = np.array([7, 3, 7, 3, 9])
    metrics = per_query(np.array([1.0, 0, 0, 1, 1]), np.array([0.9, 0.8, 0.1, 0.2, 0.5]), groups, 10)
    assert sorted(metrics["mrr@10"]) == pytest.approx([0.5, 1.0])


def test_kappa_is_scikit_learns():
    generator = np.random.default_rng(0)
    grades = generator.integers(1, 5, 300).astype(float)
    predicted = np.clip(grades + generator.integers(-1, 2, 300), 1, 4)
    expected = cohen_kappa_score(grades.astype(int), predicted.astype(int), weights="quadratic")
    assert quadratic_kappa(grades, predicted) == pytest.approx(expected)
    assert quadratic_kappa(np.ones(5), np.ones(5)) == 0.0


def test_cutoffs_recover_the_grades():
    generator = np.random.default_rng(0)
    grades = generator.integers(0, 4, 500).astype(float)
    scores = grades / 4 + generator.uniform(0.02, 0.2, 500)
    cutoffs = fit_cutoffs(grades, scores)
    assert list(cutoffs) == sorted(cutoffs)
    assert quadratic_kappa(grades, grade_of(scores, cutoffs, np.unique(grades))) > 0.98


def test_the_interval_holds_the_mean_and_narrows():
    generator = np.random.default_rng(0)
    few, many = (bootstrap(generator.normal(0.7, 0.2, size), 500, 0) for size in (20, 2000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert bootstrap(np.array([0.5, 0.7]), 0, 0).low == pytest.approx(0.6)


def test_calibration_error_of_a_constant_and_of_the_truth():
    targets = np.array([0.0, 1.0] * 100)
    assert calibration_error(targets, np.full(200, 0.9)) == pytest.approx(0.4)
    assert calibration_error(targets, targets) == 0.0


def test_one_class_alone_has_no_auc():
    assert binary_metrics(np.ones(4, dtype=bool), np.full(4, 0.5)) == {}
    metrics = binary_metrics(np.array([False, True]), np.array([0.2, 0.8]))
    assert metrics["auc"] == 1.0
    assert metrics["log_loss"] == pytest.approx(-math.log(0.8))


def test_bm25_prefers_rare_words_and_short_texts():
    texts = ["red shoes", "red kettle", "red shoes with very many other words beside them"]
    scores = bm25([("red shoes", text) for text in texts])
    assert scores[0] > scores[2] > scores[1] > 0
