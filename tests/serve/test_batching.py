import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from planogram.data.tokenizer import Tokens
from planogram.engines.base import score
from planogram.serve.batching import TokenBatcher
from planogram.serve.texts import pair_texts

WORDS = ("red", "blue", "lamp", "shoes", "shirt", "red", "table")


def pairs(number, length=3):
    return [("red lamp", " ".join(WORDS[(i + j) % len(WORDS)] for j in range(length))) for i in range(number)]


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def batcher(engine, executor, budget, wait_s=0.0):
    return TokenBatcher(engine.infer, 2, executor, budget, wait_s)


def run(engine, executor, requests, budget):
    """Scores of requests that come at once."""
    batches = batcher(engine, executor, budget)

    async def together():
        return await asyncio.gather(*[batches.compute(engine.tokenize(request)) for request in requests])

    return [engine.finish(logits) for logits in asyncio.run(together())]


@pytest.fixture
def passes(engine, monkeypatch):
    """The tokens of each forward pass."""
    seen, infer = [], engine.infer

    def spy(tokens):
        seen.append(tokens)
        return infer(tokens)

    monkeypatch.setattr(engine, "infer", spy)
    return seen


@pytest.mark.parametrize("budget", [1, 16, 40, 1000])
def test_each_request_gets_its_own_scores(engine, executor, budget):
    requests = [pairs(3), pairs(1, 6), [], pairs(5, 2), pairs(9, 5)]
    answers = run(engine, executor, requests, budget)
    assert [answer.shape for answer in answers] == [(3, 2), (1, 2), (0, 2), (5, 2), (9, 2)]
    for request, answer in zip(requests, answers, strict=True):
        if request:
            np.testing.assert_array_equal(answer, score(engine, request, 1000).values)


def test_no_pass_is_beyond_the_budget(engine, executor, passes):
    run(engine, executor, [pairs(20), pairs(3, 5)], 16)
    assert len(passes) > 1 and max(max(tokens.lengths) * len(tokens) for tokens in passes) <= 16


def test_texts_without_tokens_have_rows_too(executor):
    batches = TokenBatcher(lambda tokens: np.ones((len(tokens), 1)), 1, executor, 16)
    assert asyncio.run(batches.compute(Tokens([[], []], [[], []], [False, False]))).tolist() == [[1], [1]]


def test_a_text_beyond_the_budget_stands_alone(engine, executor, passes):
    run(engine, executor, [pairs(3, 7)], 4)
    assert [len(tokens) for tokens in passes] == [1, 1, 1]


def test_a_pass_is_of_texts_of_like_length(executor):
    passes = []
    batches = TokenBatcher(lambda tokens: passes.append(tokens.lengths) or np.ones((len(tokens), 1)), 1, executor, 9999)

    async def together():
        tokens = [Tokens([[0] * length] * 2, [[0] * length] * 2, [False] * 2) for length in (200, 6, 20, 101, 30, 98)]
        return await asyncio.gather(*[batches.compute(each) for each in tokens])

    assert all((rows == 1).all() for rows in asyncio.run(together()))
    assert [sorted(lengths) for lengths in passes] == [[6, 6, 20, 20, 30, 30], [98, 98, 101, 101], [200, 200]]


def finished(engine, executor, budget, requests):
    """Numbers of requests as they end; one comes during each pass. A request: how many pairs, of how many words."""
    batches, order = batcher(engine, executor, budget), []

    async def ask(number):
        await batches.compute(engine.tokenize(pairs(*requests[number])))
        order.append(number)

    async def play():
        loop, tasks, infer = asyncio.get_running_loop(), [], batches._infer

        def and_another_comes(tokens):
            if len(tasks) < len(requests):
                asyncio.run_coroutine_threadsafe(begin(), loop).result()
            time.sleep(0.002)
            return infer(tokens)

        async def begin():
            tasks.append(loop.create_task(ask(len(tasks))))

        batches._infer = and_another_comes
        await begin()
        while len(order) < len(requests):
            await asyncio.sleep(0.001)

    asyncio.run(play())
    return order


def test_a_short_request_passes_a_long_one(engine, executor):
    assert finished(engine, executor, 16, [(90, 3), (2, 3), (2, 3)]) == [1, 2, 0]


def test_a_long_request_has_its_turn_while_short_ones_go_on_coming(engine, executor):
    order = finished(engine, executor, 16, [(9, 3), *[(3, 3)] * 90])
    assert 1 < order.index(0) < 80


def test_requests_of_one_size_end_in_their_order(engine, executor):
    assert finished(engine, executor, 16, [(9, 3)] * 6) == [0, 1, 2, 3, 4, 5]


def test_nothing_is_computed_for_the_abandoned(engine, executor, passes):
    batches = batcher(engine, executor, 10)

    async def leave():
        left, kept = (asyncio.create_task(batches.compute(engine.tokenize(pairs(number)))) for number in (40, 4))
        while not passes:
            await asyncio.sleep(0.001)
        left.cancel()
        return await kept

    kept = asyncio.run(leave())
    assert sum(len(tokens) for tokens in passes) < 20
    np.testing.assert_array_equal(engine.finish(kept), score(engine, pairs(4), 1000).values)


def test_a_failing_pass_fails_its_requests_alone(engine, executor, monkeypatch):
    infer = engine.infer

    def fail_at_long_ones(tokens):
        if max(tokens.lengths) > 6:
            raise RuntimeError("too long")
        return infer(tokens)

    monkeypatch.setattr(engine, "infer", fail_at_long_ones)
    batches = batcher(engine, executor, 9)

    async def ask():
        requests = [pairs(3, 1), pairs(3, 6), pairs(3, 1)]
        answers = await asyncio.gather(
            *[batches.compute(engine.tokenize(request)) for request in requests], return_exceptions=True
        )
        return answers, await batches.compute(engine.tokenize(pairs(3, 1)))

    (one, broken, other), later = asyncio.run(ask())
    assert isinstance(broken, RuntimeError)
    expected = score(engine, pairs(3, 1), 1000).values
    for logits in (one, other, later):
        np.testing.assert_array_equal(engine.finish(logits), expected)


def test_rows_that_do_not_fit_fail_the_request_at_once(executor):
    batches = TokenBatcher(lambda tokens: np.ones((len(tokens) - 1, 3)), 1, executor, 16)
    tokens = Tokens([[1], [2], [3]], [[0], [0], [0]], [False] * 3)
    with pytest.raises(ValueError, match="broadcast"):
        asyncio.run(asyncio.wait_for(batches.compute(tokens), 5))


def test_a_first_request_waits_for_others_where_it_is_told_to(engine, executor, passes):
    async def one_after_the_other(wait_s):
        batches = batcher(engine, executor, 1000, wait_s)
        first = asyncio.create_task(batches.compute(engine.tokenize(pairs(2))))
        await asyncio.sleep(0.001)
        await asyncio.gather(first, batches.compute(engine.tokenize(pairs(2))))

    asyncio.run(one_after_the_other(0.2))
    assert [len(tokens) for tokens in passes] == [4]


def test_two_passes_may_be_computed_at_a_time(engine):
    together, both = [], threading.Barrier(2, timeout=5)

    def infer(tokens):
        together.append(len(tokens))
        both.wait()
        return engine.infer(tokens)

    with ThreadPoolExecutor(2) as executor:
        batches = TokenBatcher(infer, 2, executor, 15, passes=2)

        async def ask():
            return await asyncio.gather(*[batches.compute(engine.tokenize(pairs(3))) for _ in range(4)])

        answers = asyncio.run(ask())
    assert together == [3] * 4
    for logits in answers:
        np.testing.assert_array_equal(engine.finish(logits), score(engine, pairs(3), 1000).values)


def test_waiting_is_told_in_seconds_at_the_pace_of_the_last_passes(engine, executor):
    batches = batcher(engine, executor, 1000)
    with batches.taken_on(4):
        assert batches.wait_s(4) == 0, "no pass was measured yet"
    asyncio.run(batches.compute(engine.tokenize(pairs(4))))
    assert batches.wait_s(4) == 0
    with batches.taken_on(4):
        one = batches.wait_s(4)
        with batches.taken_on(4):
            assert batches.wait_s(4) == pytest.approx(2 * one) and one > 0
    assert batches.wait_s(4) == 0


def test_a_short_request_does_not_wait_for_all_of_a_long_one(engine, executor):
    batches = batcher(engine, executor, 1000)
    asyncio.run(batches.compute(engine.tokenize(pairs(4))))
    with batches.taken_on(4):
        one = batches.wait_s(4)
    with batches.taken_on(400):
        assert batches.wait_s(4) == pytest.approx(2 * one)
        assert batches.wait_s(400) == pytest.approx(100 * one)


def test_texts_are_those_of_training():
    product = {"title": "Red &amp; <b>blue</b>", "brand": None, "description": "x", "price": 3}
    assert pair_texts(" red  lamp ", [product, "a <i>b</i>\n c"], ("title", "brand")) == [
        ("red lamp", "Red & blue"),
        ("red lamp", "a b c"),
    ]


def test_a_pair_may_stand_in_its_season():
    assert pair_texts("boots", ["a"], ("title",), month=1) == [("boots | winter", "a")]
