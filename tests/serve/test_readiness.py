import asyncio

import pytest

from planogram.serve.readiness import shared
from planogram.serve.values import UnavailableError


class Check:
    """Ends when it is told to."""

    def __init__(self, error=None):
        self.count = 0
        self.error = error
        self.go = asyncio.Event()

    async def __call__(self):
        self.count += 1
        await self.go.wait()
        if self.error:
            raise self.error


async def started(ask, number):
    tasks = [asyncio.create_task(ask()) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def test_many_who_ask_at_once_cost_one_check():
    async def run():
        check = Check()
        ask = shared(check)
        tasks = await started(ask, 50)
        check.go.set()
        await asyncio.gather(*tasks)
        assert check.count == 1
        await ask()
        assert check.count == 2

    asyncio.run(run())


def test_all_of_them_learn_that_it_failed():
    async def run():
        check = Check(UnavailableError("the ranker is not available"))
        tasks = await started(shared(check), 3)
        check.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results == [check.error] * 3
        with pytest.raises(UnavailableError):
            await shared(check)()

    asyncio.run(run())


def test_one_who_leaves_takes_nothing_from_the_others():
    async def run():
        check = Check()
        first, second = await started(shared(check), 2)
        first.cancel()
        await asyncio.sleep(0)
        check.go.set()
        await second
        assert first.cancelled() and check.count == 1

    asyncio.run(run())
