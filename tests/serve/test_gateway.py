"""How the answers of a deployment reach the routes."""

import asyncio

import pytest

from planogram.errors import OverloadedError
from planogram.serve.backend import Busy
from planogram.serve.gateway import ask


async def answer(value):
    return value


def test_a_replica_with_too_much_work_is_an_overload_to_the_client():
    with pytest.raises(OverloadedError, match=r"the ranker has work for 2.3 s"):
        asyncio.run(ask("ranker", answer(Busy(2.26))))
    assert asyncio.run(ask("ranker", answer(1), 1.0)) == 1
