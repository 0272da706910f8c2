"""When a second replica is asked, and whose answer counts."""

import asyncio

import pytest

from planogram.serve.hedge import hedged
from planogram.serve.values import FailedError, LateError, ShedError, UnavailableError

PATIENCE_S = 0.05
LONG_S = 60.0


class Replicas:
    """Each attempt takes the next (seconds, answer); an exception is raised."""

    def __init__(self, *plan):
        self.plan = list(plan)
        self.asked = 0
        self.cancelled = 0

    async def ask(self):
        seconds, answer = self.plan[self.asked]
        self.asked += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self):
        async def settled():
            try:
                return await hedged(self.ask, PATIENCE_S)
            finally:
                # What was cancelled ends with the loop's next turn.
                await asyncio.sleep(0)

        return asyncio.run(asyncio.wait_for(settled(), 10))


def test_who_answers_in_time_is_the_only_one_asked():
    replicas = Replicas((0, "first"))
    assert (replicas.answer(), replicas.asked, replicas.cancelled) == ("first", 1, 0)


def test_another_one_answers_for_one_that_hangs():
    replicas = Replicas((LONG_S, "first"), (0, "second"))
    assert (replicas.answer(), replicas.asked, replicas.cancelled) == ("second", 2, 1)


def test_one_that_was_only_slow_may_still_answer_first():
    replicas = Replicas((3 * PATIENCE_S, "first"), (LONG_S, "second"))
    assert (replicas.answer(), replicas.asked, replicas.cancelled) == ("first", 2, 1)


def test_another_one_answers_for_one_that_dies():
    replicas = Replicas((0, UnavailableError("gone")), (0, "second"))
    assert (replicas.answer(), replicas.asked) == ("second", 2)


@pytest.mark.parametrize("error", [ShedError("busy"), FailedError("broken"), LateError("late")])
def test_an_answer_that_another_one_would_give_as_well_is_final(error):
    replicas = Replicas((0, error))
    with pytest.raises(type(error)):
        replicas.answer()
    assert replicas.asked == 1


def test_a_refusal_of_the_second_leaves_the_first_its_time():
    replicas = Replicas((3 * PATIENCE_S, "first"), (0, ShedError("busy")))
    assert (replicas.answer(), replicas.asked) == ("first", 2)


@pytest.mark.parametrize("first", [(0, UnavailableError("gone")), (2 * PATIENCE_S, ShedError("busy"))])
def test_where_both_fail_the_last_error_counts(first):
    replicas = Replicas(first, (4 * PATIENCE_S, LateError("late")))
    with pytest.raises(LateError):
        replicas.answer()
    assert replicas.asked == 2


@pytest.mark.parametrize("loser", [0, 1])
def test_an_answer_beats_an_error_of_the_same_moment(loser):
    async def both():
        ended = asyncio.Event()

        async def attempt(number):
            await ended.wait()
            if number == loser:
                raise LateError("late")
            return "answered"

        numbers = iter(range(2))
        asked = asyncio.create_task(hedged(lambda: attempt(next(numbers)), 0.01))
        await asyncio.sleep(PATIENCE_S)
        ended.set()
        return await asked

    assert asyncio.run(asyncio.wait_for(both(), 10)) == "answered"


def test_a_caller_that_leaves_takes_both_along():
    replicas = Replicas((LONG_S, "first"), (LONG_S, "second"))

    async def leave():
        asked = asyncio.create_task(hedged(replicas.ask, PATIENCE_S))
        await asyncio.sleep(3 * PATIENCE_S)
        asked.cancel()
        await asyncio.wait({asked})
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert (replicas.asked, replicas.cancelled) == (2, 2)
