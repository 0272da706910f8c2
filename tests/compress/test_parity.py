"""The gate: what differs is measured, and what differs too much is not published."""

import numpy as np
import pytest

from planogram.compress.parity import faults, measure
from planogram.config import ToleranceConfig
from planogram.data.examples.base import examples
from planogram.errors import ParityError

GRADES = np.array([3.0, 2.0, 1.0, 0.0, 3.0, 0.0])
GROUPS = np.array([0, 0, 0, 0, 1, 1])
REFERENCE = np.array([0.9, 0.7, 0.5, 0.1, 0.8, 0.2], dtype=np.float32)


def parity(scores, grades=GRADES, groups=GROUPS):
    pairs = [("q", "p")] * len(grades)
    return measure(REFERENCE, np.array(scores, dtype=np.float32), examples(pairs, grades, groups))


def test_the_same_scores_differ_in_nothing():
    found = parity(REFERENCE)
    assert (found.max_difference, found.mean_difference, found.kendall_tau, found.top_overlap) == (0, 0, 1, 1)
    assert found.ndcg == pytest.approx(1)
    assert (found.ndcg_change, found.ndcg_interval) == (0, (0, 0))
    assert faults(found, ToleranceConfig()) == ()


def test_a_swap_costs_tau_and_ndcg_of_its_list():
    found = parity([0.7, 0.9, 0.5, 0.1, 0.8, 0.2])
    # One of six pairs of the first list is turned: tau 4/6; the second list is whole.
    assert found.kendall_tau == pytest.approx((4 / 6 + 1) / 2)
    assert found.max_difference == pytest.approx(0.2)
    assert found.mean_difference == pytest.approx(0.4 / 6)
    ideal, turned = (sum(g / np.log2(i + 2) for i, g in enumerate(gains)) for gains in ((7, 3, 1), (3, 7, 1)))
    assert found.ndcg_change == pytest.approx((turned / ideal - 1) / 2)
    assert found.ndcg_interval[0] == pytest.approx(turned / ideal - 1)


def test_where_nothing_is_ranked_all_examples_are_one_list():
    found = parity(REFERENCE[::-1], groups=np.arange(6))
    assert found.kendall_tau < 0
    assert (found.ndcg, found.ndcg_change, found.ndcg_interval) == (None, None, None)


def test_scores_that_are_all_the_same_have_no_order():
    assert parity([0.5] * 6).kendall_tau == 0


@pytest.mark.parametrize(
    ("tolerance", "reason"),
    [
        ({"max_difference": 0.1}, "off by 0.2000, allowed 0.1"),
        ({"mean_difference": 0.05}, "on average, allowed 0.05"),
        ({"kendall_tau": 0.9}, "tau is 0.8333, allowed 0.9 or more"),
        ({"ndcg_loss": 0.01}, "NDCG@10 falls by"),
    ],
)
def test_what_is_beyond_its_tolerance_is_said(tolerance, reason):
    found = parity([0.7, 0.9, 0.5, 0.1, 0.8, 0.2])
    lax = {"max_difference": 1.0, "mean_difference": 1.0, "kendall_tau": -1.0, "ndcg_loss": 1.0}
    assert faults(found, ToleranceConfig(**lax)) == ()
    [said] = faults(found, ToleranceConfig(**(lax | tolerance)))
    assert reason in said


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ParityError, match="not finite"):
        parity([np.nan, 0.7, 0.5, 0.1, 0.8, 0.2])
