"""Population based training from a ledger."""

import pytest

from planogram.errors import ConfigError
from planogram.tune.search import suggest

PBT = {"kind": "pbt", "population": 4, "exploit": 0.25, "resample": 0.0}


def generation(trial, *scores, first=0):
    return [trial(first + place, score, state="finished", bundle=f"/{place}") for place, score in enumerate(scores)]


def test_the_first_generation_is_drawn_and_has_no_parents(config, trial):
    found = suggest(config(scheduler=PBT), generation(trial, 0.1, 0.2))
    assert (found.number, found.parent) == (2, None)


def test_a_generation_waits_for_the_one_before(config, trial):
    before = [*generation(trial, 0.1, 0.2, 0.3), trial(3, 0.4)]
    assert suggest(config(scheduler=PBT), before) is None


def test_good_members_go_on_and_the_worst_takes_over_the_best_and_is_perturbed(config, trial):
    asked = config(scheduler=PBT)
    trials = generation(trial, 0.1, 0.2, 0.4, 0.3)
    while len(trials) < 8:
        trials.append(suggest(asked, trials))
    assert [each.parent for each in trials[4:]] == [2, 1, 2, 3]
    assert trials[4].params["optimizer.learning_rate"] in (pytest.approx(8e-4), pytest.approx(1.2e-3))
    assert trials[5].params == trials[1].params


def test_a_member_that_failed_is_replaced(config, trial):
    trials = [*generation(trial, 0.1, 0.2, 0.3), trial(3, state="failed")]
    asked = config(scheduler=PBT)
    while len(trials) < 8:
        trials.append(suggest(asked, trials))
    assert trials[7].parent == 2


def test_where_all_have_failed_the_next_generation_is_drawn(config, trial):
    trials = [trial(number, state="failed") for number in range(4)]
    assert suggest(config(scheduler=PBT), trials).parent is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": "tpe"}, "set search to random"),
        ({"stage": "compress"}, "hands weights on"),
        ({"space": {"backbone.name": {"kind": "choice", "values": ["a", "b"]}}}, "backbone.name"),
    ],
)
def test_what_pbt_cannot_do_is_refused(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        config(scheduler=PBT, **changes)
