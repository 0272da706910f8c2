import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from planogram.engines.base import score
from planogram.serve.batching import Job, TokenBatcher
from planogram.serve.texts import pair_texts

WORDS = ("red", "blue", "lamp", "shoes", "shirt", "red", "table")


def pairs(number, length=3):
    return [("red lamp", " ".join(WORDS[(i + j) % len(WORDS)] for j in range(length))) for i in range(number)]


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def run(engine, executor, jobs, budget):
    answers = asyncio.run(batcher(engine, executor, budget).run(jobs))
    return [engine.finish(logits) for logits in answers]


def batcher(engine, executor, budget):
    return TokenBatcher(engine.infer, 2, executor, budget)


def test_each_request_gets_its_own_scores(engine, executor):
    requests = [pairs(3), pairs(1, 6), pairs(5, 2)]
    answers = run(engine, executor, [Job(engine.tokenize(request)) for request in requests], 16)
    assert [answer.shape for answer in answers] == [(3, 2), (1, 2), (5, 2)]
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, score(engine, request, 1000).values)


def test_no_pass_is_beyond_the_budget(engine, executor, monkeypatch):
    sizes = []
    infer = engine.infer

    def spy(tokens):
        sizes.append(max(tokens.lengths) * len(tokens))
        return infer(tokens)

    monkeypatch.setattr(engine, "infer", spy)
    run(engine, executor, [Job(engine.tokenize(pairs(20)))], 16)
    assert len(sizes) > 1 and max(sizes) <= 16


def test_size_is_tokens_and_a_single_job_always_fits(engine, executor):
    batches = batcher(engine, executor, 16)
    small, large = Job(engine.tokenize(pairs(1))), Job(engine.tokenize(pairs(50)))
    assert batches.size([small]) == small.num_tokens == 5
    assert batches.size([small, small]) == 10
    assert batches.size([large]) == 16
    assert batches.size([small, large]) > 16


def test_nothing_is_computed_for_the_abandoned(engine, executor, monkeypatch):
    jobs = [Job(engine.tokenize(pairs(4))), Job(engine.tokenize(pairs(4)))]
    seen = []
    infer = engine.infer

    def leave_after_the_first_pass(tokens):
        seen.append(len(tokens))
        jobs[0].abandoned = True
        return infer(tokens)

    monkeypatch.setattr(engine, "infer", leave_after_the_first_pass)
    _, kept = run(engine, executor, jobs, 10)
    assert sum(seen) < 8
    np.testing.assert_array_equal(kept, score(engine, pairs(4), 1000).values)


def test_waiting_is_told_in_seconds_at_the_pace_of_the_last_passes(engine, executor):
    batches, job = batcher(engine, executor, 1000), Job(engine.tokenize(pairs(4)))
    with batches.taken_on(4):
        assert batches.wait_s == 0, "no pass was measured yet"
    asyncio.run(batches.run([job]))
    assert batches.wait_s == 0
    with batches.taken_on(4):
        one = batches.wait_s
        with batches.taken_on(4):
            assert batches.wait_s == pytest.approx(2 * one) and one > 0
    assert batches.wait_s == 0


def test_all_abandoned_is_no_work(engine, executor, monkeypatch):
    monkeypatch.setattr(engine, "infer", None)
    run(engine, executor, [Job(engine.tokenize(pairs(4)), abandoned=True)], 10)


def test_texts_are_those_of_training():
    product = {"title": "Red &amp; <b>blue</b>", "brand": None, "description": "x", "price": 3}
    assert pair_texts(" red  lamp ", [product, "a <i>b</i>\n c"], ("title", "brand")) == [
        ("red lamp", "Red & blue"),
        ("red lamp", "a b c"),
    ]


def test_a_pair_may_stand_in_its_season():
    assert pair_texts("boots", ["a"], ("title",), month=1) == [("boots | winter", "a")]
