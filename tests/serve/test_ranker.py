"""The replica itself, without Ray, on fake engines."""

import asyncio
import threading
import time

import pytest

from planogram.engines.base import score
from planogram.registry.store import ModelVersion
from planogram.serve import ranker as module
from planogram.serve.ranker import Ranker
from planogram.serve.settings import CacheArgs, EngineArgs, FollowArgs
from planogram.serve.texts import pair_texts
from planogram.serve.values import Busy, FailedError, ModelInfo, Scored

from .conftest import FakeEngine

DOCUMENTS = ["red lamp", {"title": "red shoes", "brand": "red"}, "blue"]


def info(number: int) -> ModelInfo:
    return ModelInfo(
        "shop-ranker", number, f"/bundles/{number}", f"d{number}", ("relevance", "click"), ("title", "brand"), 8
    )


class ShiftedEngine(FakeEngine):
    """Each version has scores of its own, so that an answer shows which one it is from."""

    def __init__(self, number):
        self.number = number

    def infer(self, tokens):
        time.sleep(0.002)
        return super().infer(tokens) + self.number / 100


class BrokenEngine(FakeEngine):
    def infer(self, tokens):
        raise RuntimeError("no device")


class Registry:
    """A registry whose alias tests move."""

    wanted = 1
    bad: frozenset[int] = frozenset()

    def resolve(self, reference):
        return ModelVersion("shop-ranker", self.wanted, f"/bundles/{self.wanted}", f"d{self.wanted}")


@pytest.fixture
def registry(monkeypatch, tmp_path):
    known = Registry()

    def load(path, engine, threads):
        number = int(path.rsplit("/", 1)[1])
        return BrokenEngine() if number in known.bad else ShiftedEngine(number)

    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path))
    monkeypatch.setattr(module, "configure_logging", lambda: None)
    monkeypatch.setattr(module, "Registry", lambda: known)
    monkeypatch.setattr(module, "inspect", lambda version, engine: info(version.version))
    monkeypatch.setattr(module, "check_vocabulary", lambda path: None)
    monkeypatch.setattr(module, "load_engine", load)
    return known


@pytest.fixture
def make(registry):
    made = []

    def make(period_s=0.01, reference="shop-ranker@champion", scores_mb=0, max_wait_s=1000.0) -> Ranker:
        follow, cache = FollowArgs(period_s=period_s, max_slowdown=1000), CacheArgs(scores_mb=scores_mb)
        made.append(Ranker(EngineArgs(threads=1, max_wait_s=max_wait_s), info(1), reference, follow, cache))
        return made[-1]

    yield make
    for each in made:
        each.__del__()


def expected(number, query="red"):
    return score(ShiftedEngine(number), pair_texts(query, DOCUMENTS, ("title", "brand")), 1000).values


def agrees(scored: Scored) -> bool:
    return bool((scored.values == expected(scored.model.version)).all())


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_no_request_fails_while_good_and_bad_versions_come_in_turn(make, registry):
    async def run():
        ranker = make()
        registry.bad = frozenset(range(3, 42, 2))
        stop = False

        async def client():
            answers = []
            while not stop:
                answers.append(await ranker.score("red", DOCUMENTS))
            return answers

        clients = [asyncio.create_task(client()) for _ in range(4)]
        served = {1}
        for number in range(2, 22):
            registry.wanted = number
            await until(lambda: ranker._source.state.wanted == registry.wanted)
            state = await ranker.following()
            assert (state.model.version == number) == (not state.problem) == (number not in registry.bad)
            served.add(state.model.version)
            await ranker.check_health()
        await asyncio.sleep(0.05)
        stop = True
        return await asyncio.gather(*clients), served

    clients, served = asyncio.run(run())
    assert served == {1, *range(2, 22, 2)}
    for answers in clients:
        assert all(agrees(scored) for scored in answers), "an answer mixes two versions"
        versions = [scored.model.version for scored in answers]
        assert versions == sorted(versions) and versions[-1] == 20


def test_a_request_ends_on_the_version_that_it_began_with(make, registry):
    async def run():
        ranker = make()
        lane = ranker._source.lane
        gate = threading.Event()
        lane.device.submit(gate.wait)
        old = asyncio.create_task(ranker.score("red", DOCUMENTS))
        await asyncio.sleep(0.01)
        # The probe of the new version waits for the old one's thread as well.
        registry.wanted = 2
        gate.set()
        await until(lambda: ranker._source.lane is not lane)
        new = await ranker.score("red", DOCUMENTS)
        return await old, new

    old, new = asyncio.run(run())
    assert (old.model.version, new.model.version) == (1, 2) and agrees(old) and agrees(new)


def test_a_version_or_a_folder_is_not_followed(make, registry):
    for reference in ("shop-ranker:1", "/bundles/1", ""):
        ranker = make(reference=reference)
        registry.wanted = 2
        time.sleep(0.03)
        assert asyncio.run(ranker.following()).model.version == 1
    assert not any(thread.name == "follow" and thread.is_alive() for thread in threading.enumerate())


def test_a_replica_that_stops_answers_what_is_in_work(make, registry):
    async def run():
        ranker = make()
        gate = threading.Event()
        ranker._source.lane.device.submit(gate.wait)
        answers = [asyncio.create_task(ranker.score("red", DOCUMENTS)) for _ in range(3)]
        await asyncio.sleep(0.01)
        ranker.__del__()
        gate.set()
        return await asyncio.gather(*answers)

    assert all(agrees(scored) for scored in asyncio.run(run()))


def test_a_cancelled_request_is_computed_for_nobody(make, registry):
    async def run():
        ranker = make(0)
        lane = ranker._source.lane
        gate, seen = threading.Event(), []
        infer = lane.engine.infer
        lane.engine.infer = lane.batcher._infer = lambda tokens: seen.append(len(tokens)) or infer(tokens)
        lane.device.submit(gate.wait)
        task = asyncio.create_task(ranker.score("red", DOCUMENTS))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await ranker.check_health()
        return seen

    assert asyncio.run(run()) in ([1], [3, 1])


def test_a_failing_engine_fails_its_request(make, registry):
    async def run():
        ranker = make(0)
        ranker._source.lane.batcher._infer = BrokenEngine().infer
        await ranker.score("red", DOCUMENTS)

    with pytest.raises(RuntimeError, match="no device"):
        asyncio.run(run())


def test_scores_that_are_not_finite_fail_the_request(make, registry):
    async def run():
        ranker = make(0)
        ranker._source.lane.engine.finish = lambda logits: logits * float("nan")
        await ranker.score("red", DOCUMENTS)

    with pytest.raises(FailedError, match="shop-ranker:1 gave a score that is not finite"):
        asyncio.run(run())


def test_what_was_scored_before_is_remembered_and_the_rest_computed(make, registry):
    async def run():
        ranker = make(0, scores_mb=1)
        first = await ranker.score("red", DOCUMENTS)
        computed = []
        infer = ranker._source.lane.batcher._infer
        ranker._source.lane.batcher._infer = lambda tokens: computed.append(len(tokens)) or infer(tokens)
        second = await ranker.score("red", [*DOCUMENTS[::-1], "a new one that is far longer than eight words are"])
        third = await ranker.score("red", DOCUMENTS)
        other = await ranker.score("blue", DOCUMENTS)
        return first, second, third, other, computed

    first, second, third, other, computed = asyncio.run(run())
    assert [each.known for each in (first, second, third, other)] == [0, 3, 3, 0] and computed == [1, 3]
    assert (second.values[:3] == first.values[::-1]).all() and (third.logits == first.logits).all()
    assert second.truncated == [False, False, False, True]
    assert third.num_tokens == first.num_tokens == second.num_tokens - 8
    assert not (other.values == first.values).all()


def test_another_version_remembers_nothing_of_the_one_before(make, registry):
    async def run():
        ranker = make(scores_mb=1)
        old = await ranker.score("red", DOCUMENTS)
        registry.wanted = 2
        await until(lambda: ranker._source.lane.model.version == 2)
        return old, await ranker.score("red", DOCUMENTS)

    old, new = asyncio.run(run())
    assert agrees(old) and agrees(new) and new.known == 0


def test_without_a_cache_nothing_is_said_of_one(make, registry):
    assert asyncio.run(make(0).score("red", DOCUMENTS)).known is None


def test_work_beyond_the_limit_is_refused_at_once_and_the_rest_is_answered(make):
    async def run():
        ranker = make(max_wait_s=0.01)
        first = await asyncio.gather(*(ranker.score("red", DOCUMENTS) for _ in range(50)))
        return first, await ranker.score("red", DOCUMENTS), await ranker.explain("red", DOCUMENTS[:1])

    answers, later, explained = asyncio.run(run())
    refused = [answer for answer in answers if isinstance(answer, Busy)]
    assert refused and all(answer.wait_s > 0.01 for answer in refused)
    taken = [answer for answer in answers if isinstance(answer, Scored)]
    assert taken and all(agrees(scored) for scored in taken)
    assert agrees(later), "nothing waits any more"
    assert not isinstance(explained, Busy)


def test_what_is_known_already_is_never_refused(make):
    async def run():
        ranker = make(scores_mb=1, max_wait_s=1e-9)
        await ranker.score("red", DOCUMENTS)
        busy = asyncio.create_task(ranker.score("blue", DOCUMENTS * 40))
        await asyncio.sleep(0.001)
        known, unknown = await asyncio.gather(ranker.score("red", DOCUMENTS), ranker.score("green", DOCUMENTS))
        await busy
        return known, unknown

    known, unknown = asyncio.run(run())
    assert agrees(known) and isinstance(unknown, Busy)
