"""The load generator against a tiny server: who asks how often, and what of the answers is counted."""

import asyncio
import random

import pytest
from tests.benchmark.conftest import ranking, response

from planogram.benchmark.load.clients import generate, near, scores, stages
from planogram.benchmark.load.generator import Generator, GeneratorError
from planogram.benchmark.load.plan import BROKEN, HIT, MISS, NO_CACHE, TIMEOUT, Plan
from planogram.serve.answers import SearchResponse


def plan(stub, **given):
    bodies = given.pop("bodies", [b"{}"])
    return Plan(
        stub.url, "/x", bodies, given.pop("order", list(range(len(bodies)))), given.pop("seconds", 0.3), **given
    )


def answers(*replies, delay_s=0.0):
    """A server that gives these in turn, again and again."""
    turn = iter(range(10**9))

    async def reply(_):
        await asyncio.sleep(delay_s)
        return replies[next(turn) % len(replies)]

    return reply


def test_a_client_waits_for_its_answer_before_it_asks_again(stub):
    stub.reply = answers(response(), delay_s=0.02)
    load = generate(plan(stub, clients=3))
    assert stub.most_busy == 3
    assert 3 <= len(load.samples) <= 3 * (0.3 / 0.02 + 1)
    assert min(sample.seconds for sample in load.samples) >= 0.02
    assert load.wall_s >= 0.28 and load.cpu_s < load.wall_s


def test_connections_are_kept(stub):
    load = generate(plan(stub, clients=2))
    assert len(load.samples) > 10 and stub.connections == 2


def arrivals(rate, seconds, seed):
    chance, due_s, found = random.Random(seed), 0.0, []
    while (due_s := due_s + chance.expovariate(rate)) < seconds:
        found.append(due_s)
    return found


def test_arrivals_do_not_wait_for_a_slow_server(stub):
    stub.reply = answers(response(), delay_s=0.4)
    load = generate(plan(stub, rate=100, seed=5))
    due = arrivals(100, 0.3, 5)
    assert sorted(sample.due_s for sample in load.samples) == pytest.approx(due)
    assert stub.most_busy > 10 and load.wall_s >= 0.4
    assert min(sample.seconds for sample in load.samples) >= 0.4


def test_probes_follow_the_load_while_its_last_answers_are_on_their_way(stub):
    stub.reply = answers(response(), delay_s=0.1)
    load = generate(plan(stub, rate=50, probe_s=0.3))
    probes = [sample for sample in load.samples if sample.probe]
    assert 1 <= len(probes) <= 4 and min(probe.due_s for probe in probes) >= 0.3
    assert load.wall_s < 0.6


def test_bodies_are_sent_in_the_order_of_the_plan(stub):
    generate(plan(stub, clients=1, bodies=[b"[0]", b"[1]"], order=[1, 1, 0], seconds=0.1))
    assert stub.bodies[:6] == [b"[1]", b"[1]", b"[0]"] * 2


def test_every_failure_is_counted_by_its_kind(stub):
    replies = (response(), response(503, Retry_After=1), None, b"no HTTP\r\n\r\n", b"HTTP/1.1 200 x\r\n\r\n")
    stub.reply = answers(*replies)
    load = generate(plan(stub, clients=1))
    statuses = [sample.status for sample in load.samples]
    assert statuses[:10] == [200, 503, BROKEN, BROKEN, BROKEN] * 2
    assert [sample.retry_after for sample in load.samples[:2]] == [False, True]


@pytest.mark.parametrize(
    "head", [b"Content-Length: x", b"Content-Length: -5", b"Transfer-Encoding: chunked\r\n\r\n-5", b"X: y"]
)
@pytest.mark.parametrize("loop", [{"clients": 1}, {"rate": 100.0}])
def test_an_answer_without_a_sound_length_is_no_answer(stub, head, loop):
    stub.reply = answers(b"HTTP/1.1 200 x\r\n" + head + b"\r\n\r\n")
    load = generate(plan(stub, **loop))
    assert load.samples and {sample.status for sample in load.samples} == {BROKEN}


def test_what_was_given_up_does_not_lengthen_the_time_to_the_last_answer(stub):
    turn = iter(range(10**9))

    async def reply(_):
        await asyncio.sleep(0 if next(turn) < 5 else 0.4)
        return response()

    stub.reply = reply
    load = generate(plan(stub, rate=50, timeout_s=0.3))
    assert TIMEOUT in {sample.status for sample in load.samples}
    assert load.wall_s == max(sample.due_s + sample.seconds for sample in load.samples if sample.answered)


def test_a_request_that_fails_in_an_unknown_way_is_not_lost(stub, monkeypatch):
    monkeypatch.setattr("planogram.benchmark.load.clients.stages", lambda header: 1 / 0)
    with pytest.raises(ExceptionGroup):
        generate(plan(stub, rate=50))


def test_a_server_that_is_not_there_breaks_every_request(stub):
    load = generate(Plan("http://127.0.0.1:9", "/x", [b"{}"], [0], 0.1, clients=1))
    assert {sample.status for sample in load.samples} == {BROKEN}


def test_a_late_answer_is_never_taken_for_the_next(stub):
    async def reply(body):
        await asyncio.sleep(0.2 if body == b"slow" else 0)
        return response(200, ranking([1.0]) if body == b"slow" else ranking([0.5]))

    stub.reply = reply
    asked = plan(stub, clients=1, bodies=[b"slow", b"fast"], timeout_s=0.1, expected=[[1.0], [0.5]], seconds=0.5)
    load = generate(asked)
    assert [sample.status for sample in load.samples][:4] == [TIMEOUT, 200] * 2
    assert not any(sample.wrong for sample in load.samples)


def test_answers_in_chunks_are_read_whole(stub):
    body = ranking([0.25, 0.75])
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    stub.reply = answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")
    load = generate(plan(stub, clients=1, expected=[[0.25, 0.75]], tolerance=1e-6, seconds=0.1))
    assert len(load.samples) > 2 and not any(sample.wrong or sample.status != 200 for sample in load.samples)


@pytest.mark.parametrize("found", [[0.25, 0.7], [0.25], [0.25, 0.75, 0.1]])
def test_other_scores_are_a_wrong_body(stub, found):
    stub.reply = answers(response(200, ranking(found)))
    load = generate(plan(stub, clients=1, expected=[[0.25, 0.75]], tolerance=0.01, seconds=0.05))
    assert load.samples and all(sample.wrong for sample in load.samples)


def test_what_headers_say_is_kept(stub):
    first = response(200, Server_Timing="retrieve;dur=1.5, rank;dur=20", X_Cache="hit")
    stub.reply = answers(first, response(200, X_Cache="MISS"), response())
    samples = generate(plan(stub, clients=1, seconds=0.1)).samples
    assert samples[0].stages == {"retrieve": 1.5, "rank": 20.0} and samples[1].stages == {}
    assert [sample.cache for sample in samples[:3]] == [HIT, MISS, NO_CACHE]


def test_an_answer_that_says_so_is_a_fallback(stub):
    [example] = SearchResponse.model_config["json_schema_extra"]["examples"]
    body = SearchResponse.model_validate(example | {"degraded": True}).model_dump_json().encode()
    stub.reply = answers(response(200, body), response(200, body.replace(b'"degraded":true', b'"degraded":false')))
    samples = generate(plan(stub, clients=1, seconds=0.05)).samples
    assert [sample.degraded for sample in samples[:2]] == [True, False]


def test_stages_without_a_duration_are_left_out():
    assert stages('cache;desc="a", db;dur=2;desc=x') == {"db": 2.0}
    assert stages('db;dur="2.5", x;dur=, y;dur=soon') == {"db": 2.5}
    assert stages("") == {}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"results": [{"index": 1, "relevance_score": 1}]}', b"[]"])
def test_a_body_without_all_scores_has_none(body):
    assert not near(scores(body), [1.0], 0.5)


def test_the_generator_works_in_a_process_of_its_own(stub):
    with Generator() as generator:
        load = generator.run(plan(stub, clients=2, seconds=0.2))
        with pytest.raises(GeneratorError, match="failed"):
            generator.run(plan(stub, seconds=0.2))  # an open loop without a rate
    assert {sample.status for sample in load.samples} == {200} and load.cpu_s > 0
