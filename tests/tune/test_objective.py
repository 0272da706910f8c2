"""What is better, of one metric and of several."""

from planogram.tune.objective import front, ranked, winner

BOTH = {"ndcg": "max", "latency_ms": "min"}


def found(trial, *pairs):
    return [
        trial(number, state="finished", metrics={"ndcg": ndcg, "latency_ms": latency})
        for number, (ndcg, latency) in enumerate(pairs)
    ]


def test_of_one_metric_the_best_comes_first_and_unfinished_ones_do_not_count(trial):
    trials = [trial(0, 0.5, state="finished"), trial(1, 0.9), trial(2, 0.7, state="finished"), trial(3, state="failed")]
    assert [each.number for each in ranked(trials, {"ndcg@10": "max"})] == [2, 0]
    assert [each.number for each in ranked(trials, {"ndcg@10": "min"})] == [0, 2]


def test_the_front_holds_what_none_beats_in_both(trial):
    trials = found(trial, (0.9, 30.0), (0.8, 10.0), (0.85, 40.0), (0.7, 10.0))
    assert [each.number for each in front(trials, BOTH)] == [0, 1]
    assert [each.number for each in ranked(trials, BOTH)] == [0, 1, 2, 3]


def test_alike_trials_are_all_on_the_front(trial):
    assert [each.number for each in front(found(trial, (0.5, 1.0), (0.5, 1.0)), BOTH)] == [0, 1]


def test_the_winner_is_the_best_in_the_first_metric(trial):
    trials = found(trial, (0.8, 10.0), (0.9, 30.0))
    best = winner(trials, BOTH)
    assert best is not None
    assert best.number == 1
    assert winner([trial(0)], {"ndcg@10": "max"}) is None
