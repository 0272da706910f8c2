"""Which model answers: replicas that change, and a canary."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from planogram.errors import ConfigError
from planogram.serve.call import Call
from planogram.serve.canary import Split, share
from planogram.serve.keys import Key
from planogram.serve.problems import RateLimitedError
from planogram.serve.rankers import Group, Rankers
from planogram.serve.rates import RateLimits
from planogram.serve.served import Served
from planogram.serve.settings import AuthArgs
from planogram.serve.values import FailedError, Following, LateError, Scored, TokenWeight, UnavailableError

from .conftest import MODEL

OLD, NEW = MODEL, replace(MODEL, version=4, digest="new")


class Replicas:
    """Answer with a model, or fail."""

    def __init__(self, model):
        self.model = model
        self.error = None
        self.asked = []
        self.group = Group(Served(model, 2.0), self.ask, self.explain, self.tell)

    async def ask(self, query, documents, timeout_s):
        self.asked.append(timeout_s)
        if self.error:
            raise self.error
        zeros = np.zeros((len(documents), 2), dtype=np.float32)
        return Scored(zeros, [False] * len(documents), 1, self.model, zeros)

    async def explain(self, query, documents, timeout_s):
        return [[TokenWeight(str(self.model.version), 1.0, "query")]]

    async def tell(self):
        if self.error:
            raise self.error
        return Following(self.model, 5, "damaged")


@pytest.fixture
def main():
    return Replicas(OLD)


@pytest.fixture
def canary():
    return Replicas(NEW)


@pytest.fixture
def rankers(main, canary):
    found = Rankers(main.group)
    found.try_canary(canary.group, Split("shop-ranker@candidate", 100.0, 1.0))
    return found


def ask(rankers, timeout_s=5.0, **call):
    async def run():
        for key, value in call.items():
            setattr(Call.begin(None), key, value)
        return await rankers.score("red", ["a"], timeout_s)

    return asyncio.run(run())


def test_the_model_is_that_of_the_last_answer():
    served = Served(OLD, 2.0)
    served.answered(NEW)
    assert (served.model.version, served.model.others, served.following.wanted) == (4, (), 3)
    served.told(Following(NEW, 4))
    assert served.following.wanted == 4


def test_replicas_that_differ_are_both_known_for_a_moment():
    now = [0.0]
    served = Served(OLD, 2.0, lambda: now[0])
    for model in (OLD, NEW, OLD, NEW):
        served.answered(model)
    assert (served.model.version, served.model.others) == (4, (3,))
    now[0] = 7.0
    served.answered(NEW)
    assert served.model.others == ()


def test_an_answer_of_the_wanted_version_ends_the_problem():
    served = Served(OLD, 2.0)
    served.told(Following(OLD, 4, "damaged"))
    assert served.following.problem
    served.answered(NEW)
    assert served.following == Following(replace(NEW, others=(3,)), 4)


def test_a_share_is_the_same_in_every_process_and_uniform():
    assert share("shop-ranker@candidate\nu-1") == 0.5817580407570516
    shares = np.asarray([share(f"x\n{number}") for number in range(4000)])
    assert np.abs(np.histogram(shares, 10, (0, 1))[0] - 400).max() < 80


def test_a_larger_share_keeps_those_that_it_had():
    calls = [Call(str(number), user=f"u-{number}") for number in range(1000)]
    taken = [{call.user for call in calls if Split("c", percent, 1.0).takes(call)} for percent in (0, 10, 30, 100)]
    assert [len(users) for users in taken][::3] == [0, 1000]
    assert 70 < len(taken[1]) < 130 and taken[1] < taken[2]
    others = {call.user for call in calls if Split("d", 10, 1.0).takes(call)}
    assert others != taken[1]


def test_a_caller_is_the_user_and_else_the_request():
    assert Call("r", user="u").caller == "u" and Call("r").caller == "r"


@pytest.mark.parametrize("name", ["fake:3", "fake:4"])
def test_a_request_for_a_version_is_not_the_canarys(rankers, name):
    assert ask(rankers, model=name).model == OLD
    assert ask(rankers, model="fake@champion").model == NEW


def test_the_canary_answers_and_is_named(rankers):
    scored = ask(rankers, user="u")
    assert scored.canary and scored.model == NEW
    assert rankers.model.version == 3, "the canary is not the model that is served"


@pytest.mark.parametrize("error", [LateError("late"), UnavailableError("gone"), FailedError("broken")])
def test_the_main_model_answers_where_the_canary_does_not(rankers, canary, main, error, caplog):
    canary.error = error
    scored = ask(rankers, user="u")
    assert scored.model == OLD and not scored.canary
    assert canary.asked == [1.0] and 4.0 < main.asked[0] <= 5.0
    assert rankers._split.state == {"percent": 100.0, "answered": 0, "missed": 1}


def test_half_of_the_time_is_left_for_the_main_model(rankers, canary):
    ask(rankers, 0.5, user="u")
    ask(rankers, None, user="u")
    assert canary.asked == [0.25, 1.0]


def test_an_error_of_the_main_model_is_the_clients(rankers, canary, main):
    canary.error, main.error = FailedError("canary"), LateError("main")
    with pytest.raises(LateError, match="main"):
        ask(rankers, user="u")


def test_the_share_changes_while_it_runs(rankers, canary):
    rankers.change_canary(0.0)
    assert ask(rankers, user="u").model == OLD and not canary.asked


def test_without_a_canary_there_is_no_share(main):
    with pytest.raises(ConfigError, match="no canary"):
        Rankers(main.group).change_canary(5.0)


def test_what_serves_and_what_should_is_asked(rankers, canary):
    canary.error = UnavailableError("the canary is not available")
    first, second = asyncio.run(rankers.following())
    assert (first.model.version, first.wanted, first.problem, first.canary) == (3, 5, "damaged", None)
    assert second.problem == "the canary is not available" and second.canary["percent"] == 100.0


def test_a_change_is_known_without_traffic(rankers, main):
    async def run():
        task = asyncio.create_task(rankers.watch(0.01))
        main.model = NEW
        await asyncio.sleep(0.1)
        task.cancel()
        return rankers.model.version

    assert asyncio.run(run()) == 4


@pytest.mark.parametrize(("error", "explains"), [(None, "4"), (FailedError("canary"), "3")])
def test_who_ranked_explains(rankers, canary, error, explains):
    async def run():
        Call.begin(None)
        canary.error = error
        await rankers.score("red", ["a"], 5.0)
        return await rankers.explain("red", ["a"], 5.0)

    ((token,),) = asyncio.run(run())
    assert token.token == explains


def test_what_a_key_may_have_ranked_is_counted_before_it_is(main):
    clock = [100.0]
    rankers = Rankers(main.group)
    key = Key(name="shop", scopes=("read",), digest="0" * 64, documents_per_s=2.0)
    Call.begin(None).budget = RateLimits(AuthArgs(), lambda: clock[0]).budget(key).take
    asyncio.run(rankers.score("q", ["a", "b", "c"], None))
    with pytest.raises(RateLimitedError):
        asyncio.run(rankers.score("q", ["a"], None))
    assert len(main.asked) == 1
    clock[0] += 1
    # Once as it is, and once without each of its three words.
    asyncio.run(rankers.explain("q", ["red shoe"], None))
    clock[0] += 1
    with pytest.raises(RateLimitedError):
        asyncio.run(rankers.explain("q", ["red shoe"], None))
