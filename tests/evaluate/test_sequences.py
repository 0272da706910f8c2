"""Metrics of next items, and the floors they are compared with, against naive values."""

import math
from itertools import pairwise

import numpy as np
import pytest

from planogram.data.examples.sequences import Sequences
from planogram.evaluate import sequences
from planogram.evaluate.sequences import next_item_metrics, row_metrics


def made(*rows: list[int]) -> Sequences:
    return Sequences([np.array(row) for row in rows], np.zeros(len(rows), dtype=np.int64), 0)


def test_metrics_by_hand():
    found = row_metrics(np.array([0.0, 2.0, 9.0, 10.0], dtype=np.float32), 10)
    assert found["hr@10"].tolist() == [1, 1, 1, 0]
    assert found["ndcg@10"] == pytest.approx([1, 1 / 2, 1 / math.log2(11), 0])
    assert found["mrr"] == pytest.approx([1, 1 / 3, 1 / 10, 1 / 11])


def test_equals_share_their_mean_rank():
    found = row_metrics(np.array([0.5, 9.5], dtype=np.float32), 10)
    assert found["hr@10"].tolist() == [1, 1]
    assert found["ndcg@10"] == pytest.approx([1 / math.log2(2.5), 1 / math.log2(11.5)])


def test_means_are_at_5_and_at_10():
    found = next_item_metrics(np.array([0.0, 7.0, 30.0], dtype=np.float32))
    assert found.keys() == {"hr@5", "ndcg@5", "hr@10", "ndcg@10", "mrr"}
    assert found["hr@5"] == pytest.approx(1 / 3)
    assert found["hr@10"] == pytest.approx(2 / 3)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(9)) / 3)
    assert found["mrr"] == pytest.approx((1 + 1 / 8 + 1 / 31) / 3)


def naive_rank(scores: np.ndarray, target: int) -> float:
    better = sum(score > scores[target] for score in scores)
    equal = sum(score == scores[target] for score in scores) - 1
    return better + equal / 2


@pytest.mark.parametrize("rows_at_once", [2, 1024])
def test_the_floors_are_what_a_loop_gives(monkeypatch, rows_at_once):
    monkeypatch.setattr(sequences, "ROWS", rows_at_once)
    trained = made([0, 1, 2], [0, 1, 3], [4, 1, 3], [2])
    asked = made([0, 1], [1, 3], [1, 2], [5], [3], [4, 0, 2])
    taken = [item for row in trained.items for item in row]
    popular = np.array([taken.count(item) for item in range(6)], dtype=float)
    expected: dict[str, list[float]] = {"popularity": [], "last_item": []}
    for *history, target in asked.items:
        scores = popular.copy()
        expected["popularity"].append(naive_rank(scores, target))
        for row in trained.items:
            for before, after in pairwise(row):
                scores[after] += 1000 * (len(history) > 0 and before == history[-1])
        expected["last_item"].append(naive_rank(scores, target))
    found = sequences._floors(trained, asked, 6)
    assert {name: ranks.tolist() for name, ranks in found.items()} == expected


def test_rows_without_a_history_have_floors():
    found = sequences._floors(made([0, 1]), made([0], [1]), 3)
    assert found["last_item"].tolist() == found["popularity"].tolist() == [0.5, 0.5]
