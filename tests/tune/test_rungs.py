"""Who goes on at a rung."""

import pytest

from planogram.config import SchedulerConfig
from planogram.tune.rungs import bracket, goes_on, rungs

ASHA = SchedulerConfig(kind="asha", grace=1, reduction=3)


def judged(trial, others, scheduler=ASHA, mode="max"):
    return goes_on(trial, others, scheduler, "ndcg@10", mode)


def test_the_first_at_a_rung_goes_on(trial):
    assert judged(trial(0, 0.2), [])


def test_of_six_the_best_two_go_on(trial):
    others = [trial(number, value) for number, value in enumerate((0.5, 0.4, 0.3, 0.2, 0.1))]
    assert judged(trial(9, 0.6), others)
    assert judged(trial(9, 0.45), others)
    assert not judged(trial(9, 0.35), others)


def test_where_less_is_better_the_lowest_go_on(trial):
    others = [trial(0, 0.5), trial(1, 0.4)]
    assert judged(trial(9, 0.3), others, mode="min")
    assert not judged(trial(9, 0.6), others, mode="min")


def test_between_rungs_nobody_is_judged(trial):
    others = [trial(0, 0.9, 0.9), trial(1, 0.9, 0.9)]
    assert judged(trial(9, 0.1, 0.1), others)


def test_a_later_rung_compares_the_best_so_far_of_those_that_reached_it(trial):
    reached = [trial(0, 0.5, 0.5, 0.5), trial(1, 0.6, 0.6, 0.6)]
    others = [*reached, trial(2, 0.99)]
    assert judged(trial(9, 0.1, 0.7, 0.2), others)
    assert not judged(trial(9, 0.1, 0.55, 0.2), others)


def test_the_untrained_model_s_validation_does_not_count(trial):
    assert trial(0).curve("ndcg@10") == []
    assert judged(trial(0), [trial(1, 0.9), trial(2, 0.9)])


def test_a_trial_is_not_its_own_rival(trial):
    alone = trial(3, 0.2)
    assert judged(alone, [alone])


@pytest.mark.parametrize("kind", ["none", "pbt"])
def test_other_schedulers_stop_nobody(trial, kind):
    others = [trial(number, 0.9) for number in range(8)]
    assert judged(trial(9, 0.1), others, SchedulerConfig(kind=kind))


def test_hyperband_s_brackets_begin_later_and_do_not_compare_with_each_other(trial):
    scheduler = SchedulerConfig(kind="hyperband", grace=1, reduction=3, brackets=3)
    assert [bracket(scheduler, number) for number in range(4)] == [0, 1, 2, 0]
    assert [rungs(scheduler, number, 30) for number in range(3)] == [[1, 3, 9, 27], [3, 9, 27], [9, 27]]
    others = [trial(0, 0.9, 0.9, 0.9), trial(3, 0.9, 0.9, 0.9)]
    assert not judged(trial(6, 0.1), others, scheduler)
    assert judged(trial(7, 0.1, 0.1, 0.1), others, scheduler)
