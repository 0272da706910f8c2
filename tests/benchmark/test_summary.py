"""Figures of a load, worked out by hand."""

import pytest

from planogram.benchmark.load.plan import BROKEN, HIT, MISS, TIMEOUT, Load, Sample
from planogram.benchmark.load.summary import middle, normal_after_s, summarize, timeline


def load(*samples, wall_s=2.0, cpu_s=0.5):
    return Load(list(samples), wall_s, cpu_s)


def test_rates_shares_and_percentiles():
    good = [Sample(0.0, ms / 1000, 200) for ms in range(1, 102)]
    bad = [Sample(0, 9, 503, retry_after=True), Sample(0, 9, 429), Sample(0, 9, BROKEN), Sample(0, 9, TIMEOUT)]
    found = summarize(load(*good, *bad, Sample(3, 9, 500, probe=True)), pairs=10)
    assert found["requests"] == 105
    assert found["answered_per_s"] == 50.5 and found["pairs_per_s"] == 505
    assert (found["p50_ms"], found["p95_ms"], found["p99_ms"]) == pytest.approx((51, 96, 100))
    assert found["success"] == pytest.approx(101 / 105) and found["shed"] == pytest.approx(2 / 105)
    assert found["retry_after"] == 0.5 and found["generator_cpu"] == 0.25
    assert found["statuses"] == {"200": 101, "429": 1, "503": 1, "connection": 1, "timeout": 1}


def test_what_nobody_said_is_null():
    found = summarize(load(Sample(0, 1, BROKEN)), pairs=1)
    assert found["p50_ms"] is found["hit_rate"] is found["retry_after"] is None
    assert found["stages"] == {} and found["answered_per_s"] == 0


def test_fallbacks_are_answers_but_their_pairs_were_not_ranked():
    ranked, fallback = Sample(0, 1, 200), Sample(1, 1, 200, degraded=True)
    found = summarize(load(ranked, fallback, fallback, fallback), pairs=10)
    assert (found["answered_per_s"], found["pairs_per_s"], found["degraded"]) == (2.0, 5.0, 0.75)
    assert summarize(load(ranked), pairs=1)["degraded"] is None


def test_hits_count_among_responses_that_speak_of_a_cache():
    said = [Sample(0, 1, 200, cache=cache) for cache in (HIT, HIT, HIT, MISS)]
    assert summarize(load(*said, Sample(0, 1, 200)), pairs=1)["hit_rate"] == 0.75


def test_stages_are_shares_of_the_clients_time():
    one = Sample(0, 0.1, 200, stages={"retrieve": 10.0, "rank": 60.0})
    found = summarize(load(one, Sample(0, 0.1, 200, stages={"rank": 80.0})), pairs=1)["stages"]
    assert found == pytest.approx({"retrieve": 0.05, "rank": 0.7, "rest": 0.25})


def probes(*seconds, status=200):
    return [Sample(10 + number, each, status, probe=True) for number, each in enumerate(seconds)]


def test_a_server_is_normal_when_several_probes_in_a_row_are():
    watched = load(Sample(0, 9, 200), *probes(0.9, 0.01, 0.9, 0.01, 0.02, 0.01, 0.01, 0.02))
    assert normal_after_s(watched, 10, usual_ms=10) == 3.0
    assert normal_after_s(watched, 10, usual_ms=9) is None
    assert normal_after_s(load(*probes(*[0.01] * 9, status=503)), 10, usual_ms=10) is None


def test_rounds_come_to_medians_and_sums():
    rounds = [
        {"p50_ms": p50, "requests": 10, "wrong": 1, "statuses": statuses, "hit_rate": None, "stages": stages}
        for p50, statuses, stages in (
            (9.0, {"200": 10}, {"rank": 0.5}),
            (1.0, {"200": 8, "503": 2}, {}),
            (None, {"503": 1}, {"rank": 0.7}),
        )
    ]
    assert middle(rounds) == {
        "p50_ms": 5.0,
        "requests": 30,
        "wrong": 3,
        "statuses": {"200": 18, "503": 3},
        "hit_rate": None,
        "stages": {"rank": pytest.approx(0.6)},
    }


def test_a_timeline_counts_by_the_second():
    found = timeline(load(Sample(0.2, 0.1, 200), Sample(0.9, 0.1, 503), Sample(2.0, 0.3, 200)))
    assert [(point["second"], point["answered"], point["failed"]) for point in found] == [(0, 1, 1), (2, 1, 0)]
    assert found[1]["p99_ms"] == pytest.approx(300)
