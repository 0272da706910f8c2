"""How the answers of a deployment reach the routes."""

import asyncio

import pytest
from ray.exceptions import RayActorError

from planogram.serve.call import Call
from planogram.serve.gateway import Gateway, ask, group
from planogram.serve.keys import Key
from planogram.serve.problems import RateLimitedError
from planogram.serve.rates import RateLimits
from planogram.serve.settings import AppArgs, AuthArgs
from planogram.serve.values import Busy, ShedError, UnavailableError

from .conftest import MODEL


async def answer(value):
    return value


def test_a_replica_with_too_much_work_is_an_overload_to_the_client():
    with pytest.raises(ShedError, match=r"the ranker has work for 2.3 s"):
        asyncio.run(ask("ranker", answer(Busy(2.26))))
    assert asyncio.run(ask("ranker", answer(1), 1.0)) == 1


class Dying:
    """The handle of a ranker whose first replicas die with the request in work."""

    def __init__(self, deaths):
        self.deaths = deaths
        self.score = self

    async def remote(self, query, documents):
        self.deaths -= 1
        if self.deaths >= 0:
            raise RayActorError
        return "scored"


def test_a_request_that_dies_with_its_replica_is_answered_by_another_one():
    args = AppArgs(ranker="fake", routes=("rerank",))

    def score(deaths):
        return asyncio.run(group("ranker", (MODEL, Dying(deaths)), args).ask("red", ["shoes"], 1.0))

    assert score(0) == score(1) == "scored"
    with pytest.raises(UnavailableError):
        score(2)


@pytest.mark.parametrize(("ranker_timeout_s", "asked"), [(0.1, 1), (1.0, 2)])
def test_what_waits_its_turn_is_not_asked_for_twice(ranker_timeout_s, asked):
    """An answer takes .7 s; a ranker may let it wait for 2 s, or for none."""

    class Slow:
        asked = 0

        async def remote(self, query, documents):
            self.asked += 1
            await asyncio.sleep(0.7)
            return "scored"

    slow = Slow()
    slow.score = slow
    limits, engine = {"ranker_timeout_s": ranker_timeout_s}, {"max_wait_s": 2.0 if asked == 1 else 0.1}
    args = AppArgs.model_validate({"ranker": "fake", "routes": ["rerank"], "limits": limits, "engine": engine})
    assert asyncio.run(group("ranker", (MODEL, slow), args).ask("red", ["shoes"], 5.0)) == "scored"
    assert slow.asked == asked


def test_what_a_key_may_have_embedded_is_counted_before_it_is():
    class Embedder:
        asked = 0

        async def remote(self, texts):
            self.asked += 1
            return texts

    embedder = Embedder()
    embedder.embed = embedder
    gateway = object.__new__(Gateway)
    gateway._embedder = embedder
    key = Key(name="shop", scopes=("read",), digest="0" * 64)
    Call.begin(None).budget = RateLimits(AuthArgs(documents_per_s=1.0), lambda: 100.0).budget(key).take
    assert asyncio.run(gateway.embed(["a", "b"])) == ["a", "b"]
    with pytest.raises(RateLimitedError):
        asyncio.run(gateway.embed(["a"]))
    assert embedder.asked == 1
