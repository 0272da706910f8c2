"""A replica's model changes: with fake engines, a fake registry, and the real ledger."""

import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from planogram.engines.base import PairEngine
from planogram.errors import IntegrityError, NotFoundError
from planogram.registry.store import ModelVersion
from planogram.serve.batching import TokenBatcher
from planogram.serve.begin import begin
from planogram.serve.follow import Follower
from planogram.serve.lane import Lane
from planogram.serve.ledger import BusyError, Ledger
from planogram.serve.probe import ProbeError, Recent, check_heads, probe
from planogram.serve.refusal import Refusal, essence
from planogram.serve.settings import FollowArgs
from planogram.serve.values import FailedError, ModelInfo

from .conftest import FakeEngine

REFERENCE = "shop-ranker@champion"
RECENT = [Recent("red lamp", ("red lamp", {"title": "blue shoes", "brand": "Acme"}, "lamp"))]


def version(number: int) -> ModelVersion:
    return ModelVersion("shop-ranker", number, f"/home/me/bundles/{number}", f"digest-{number}")


def model(number: int, heads=("relevance", "click")) -> ModelInfo:
    known = version(number)
    return ModelInfo(known.name, number, known.path, known.digest, heads, ("title", "brand"), 8)


class NanEngine(FakeEngine):
    def infer(self, tokens):
        return super().infer(tokens) * np.float32(np.nan)


class OneHeadEngine(FakeEngine):
    def infer(self, tokens):
        return super().infer(tokens)[:, :1]


class ConstantEngine(FakeEngine):
    def infer(self, tokens):
        return np.zeros((len(tokens), 2), dtype=np.float32)


class SlowEngine(FakeEngine):
    def infer(self, tokens):
        time.sleep(0.1)
        return super().infer(tokens)


class ForeignEngine(FakeEngine, PairEngine):
    """Its tokenizer knows no word."""

    class tokenizer:  # noqa: N801 - stands for an object
        class whole:  # noqa: N801
            @staticmethod
            def token_to_id(token):
                return 1

    def tokenize(self, pairs, features=None):
        tokens = FakeEngine().tokenize(pairs)
        for ids in tokens.input_ids:
            ids[:] = [1] * (len(ids) - 1) + ids[-1:]
        return tokens


class MaskEngine(FakeEngine):
    """Reads the padding: a pair's score depends on what stands beside it."""

    def infer(self, tokens):
        return super().infer(tokens) + np.float32(len(tokens))


class PanicError(BaseException):
    """As the panics of libraries in Rust: no Exception."""


@dataclass
class World:
    """A registry and the bundles behind it."""

    engines: dict[int, object] = field(default_factory=dict)
    wanted: int = 1
    loads: list[int] = field(default_factory=list)
    on_load: object = None

    def find(self) -> ModelVersion:
        if self.wanted == 0:
            raise NotFoundError("there is no alias")
        return version(self.wanted)

    def open(self, wanted: ModelVersion, old: Lane | None = None) -> Lane:
        def load():
            self.loads.append(wanted.version)
            if self.on_load:
                self.on_load(wanted)
            engine = self.engines.get(wanted.version, FakeEngine())
            if isinstance(engine, BaseException):
                raise engine
            return model(wanted.version), engine

        lane = Lane.open(
            load, lambda engine, device: TokenBatcher(engine.infer, len(engine.manifest.heads), device, 64), 1.0
        )
        probe(lane, old, RECENT, 5.0, 1.0)
        return lane


@pytest.fixture(autouse=True)
def logs_reach_pytest(monkeypatch):
    """Whatever other tests did to the package's logger."""
    monkeypatch.setattr(logging.getLogger("planogram"), "propagate", True)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(REFERENCE, "torch-fp32", str(tmp_path))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def follower(world, ledger) -> Follower:
    lane, refusal = begin(version(1), world.find, world.open, ledger)
    return Follower(lane, world.find, world.open, ledger, FollowArgs(), refusal)


def serves(follower: Follower) -> int:
    return follower.lane.model.version


def test_it_goes_where_the_alias_goes(follower, world, ledger):
    world.wanted = 2
    follower.step()
    assert serves(follower) == follower.state.wanted == 2 and not follower.state.problem
    assert ledger.good().version == 2


def test_a_rollback_is_immediate_since_the_version_before_is_still_loaded(follower, world):
    world.wanted = 2
    follower.step()
    world.wanted = 1
    follower.step()
    assert serves(follower) == 1 and world.loads == [1, 2]


def test_the_version_before_may_be_let_go(world, ledger):
    lane, _ = begin(version(1), world.find, world.open, ledger)
    follower = Follower(lane, world.find, world.open, ledger, FollowArgs(keep_previous=False))
    world.wanted = 2
    follower.step()
    assert follower.previous is None


BAD = {
    "flipped bit": (IntegrityError("/home/me/bundles/2/model.safetensors is damaged"), "model.safetensors is damaged"),
    "truncated": (IntegrityError("/home/me/bundles/2/model.safetensors has 9 bytes, not 10"), "has 9 bytes, not 10"),
    "missing export": (NotFoundError("shop-ranker has no export openvino-int8"), "no export openvino-int8"),
    "NaN weights": (NanEngine(), "not finite"),
    "wrong heads": (OneHeadEngine(), "shape"),
    "dead": (ConstantEngine(), "the same score"),
    "slow": (SlowEngine(), "takes"),
    "wrong tokenizer": (ForeignEngine(), "does not know"),
    "no mask": (MaskEngine(), "together otherwise than alone"),
    "out of memory": (MemoryError("9 GiB"), "MemoryError"),
    "panic": (PanicError("index out of bounds"), "PanicError"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_version_leaves_the_old_one_serving_and_says_why(name, follower, world, ledger, caplog):
    world.engines[2], problem = BAD[name]
    world.wanted = 2
    follower.step()
    follower.step()
    state = follower.state
    assert serves(follower) == 1 and state.wanted == 2
    assert problem in state.problem and "/home" not in state.problem
    assert world.loads == [1, 2], "it is tried once"
    assert sum("is refused" in record.message for record in caplog.records) == 1
    assert ledger.good().version == 1 and ledger.crashed() is None


def test_a_version_that_never_loads_is_given_up(follower, world):
    gate = threading.Event()
    world.on_load = lambda wanted: gate.wait(5)
    world.wanted = 2
    follower.step()
    gate.set()
    assert serves(follower) == 1 and follower.state.problem == "it did not load in time"


def test_a_refused_version_is_tried_again_when_the_alias_moves_back_to_it(follower, world):
    world.engines[2] = IntegrityError("damaged")
    for world.wanted in (2, 1, 2):
        follower.step()
    assert world.loads == [1, 2, 2]


def test_a_refused_version_is_tried_again_after_a_while_which_grows(follower, world, monkeypatch):
    world.engines[2] = IntegrityError("damaged")
    world.wanted = 2
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tried = []
    for _ in range(600):
        follower.step()
        if len(world.loads) - 1 > len(tried):
            tried.append(now[0])
        now[0] += 1.0
    assert tried == [0.0, 60.0, 180.0, 420.0]
    world.engines[2] = FakeEngine()
    now[0] += 3600.0
    follower.step()
    assert serves(follower) == 2


def test_an_alias_that_moves_while_a_version_loads_takes_its_way(follower, world):
    def moves_on(wanted):
        if wanted.version == 2:
            world.wanted = 3

    world.on_load, world.wanted = moves_on, 2
    follower.step()
    assert serves(follower) == 1
    follower.step()
    assert serves(follower) == 3


def test_a_registry_that_is_away_changes_nothing(follower, world):
    world.wanted = 0
    follower.step()
    assert serves(follower) == 1 and "there is no alias" in follower.state.problem
    world.wanted = 1
    follower.step()
    assert not follower.state.problem


def test_what_is_let_go_ends_its_threads(follower, world):
    others = set(threading.enumerate()) - lane_threads(follower.lane)
    for world.wanted in (2, 3, 4, 5):
        follower.step()
    kept = lane_threads(follower.lane) | lane_threads(follower.previous)
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - others != kept:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def lane_threads(lane):
    return lane.device._threads | lane.tokenizer._threads


def test_it_follows_by_itself_until_it_is_closed(world, ledger):
    lane, _ = begin(version(1), world.find, world.open, ledger)
    follower = Follower(lane, world.find, world.open, ledger, FollowArgs(period_s=0.01))
    follower.start()
    world.wanted = 2
    deadline = time.monotonic() + 5
    while serves(follower) != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    follower.close()
    assert serves(follower) == 2


# -- The start of a replica


def test_a_replica_starts_with_what_the_alias_means_now(world, ledger):
    world.wanted = 2
    lane, refusal = begin(version(1), world.find, world.open, ledger)
    assert lane.model.version == 2 and refusal is None


def test_a_replica_starts_with_the_last_good_version_and_says_so(world, ledger, caplog):
    ledger.record_good(version(2))
    world.wanted, world.engines[3] = 3, IntegrityError("/home/me/bundles/3/bundle.json is damaged")
    lane, refusal = begin(version(1), world.find, world.open, ledger)
    assert lane.model.version == 2
    assert refusal.version == version(3) and refusal.problem == "bundle.json is damaged"
    assert "shop-ranker:2 serves, since shop-ranker:3 does not load" in caplog.text


def test_without_a_good_version_a_replica_starts_as_the_application_was_built(world, ledger):
    world.wanted, world.engines[3] = 3, IntegrityError("damaged")
    lane, refusal = begin(version(1), world.find, world.open, ledger)
    assert lane.model.version == 1 and refusal.version.version == 3
    world.wanted = 0
    lane, refusal = begin(version(1), world.find, world.open, ledger)
    assert lane.model.version == 1 and refusal is None


def test_where_nothing_loads_the_reason_is_that_of_the_wanted_version(world, ledger):
    world.engines = {1: IntegrityError("one"), 3: IntegrityError("three")}
    world.wanted = 3
    with pytest.raises(IntegrityError, match="three"):
        begin(version(1), world.find, world.open, ledger)


# -- Versions that kill a replica

DIES = """
import os, sys
from planogram.registry.store import ModelVersion
from planogram.serve.ledger import Ledger
Ledger("shop-ranker@champion", "torch-fp32", sys.argv[1]).load(
    ModelVersion("shop-ranker", 2, "/b", "digest-2"), lambda: os.kill(os.getpid(), 9))
"""


@pytest.fixture
def killed(tmp_path, ledger):
    """A replica with version 1 was killed by version 2."""
    ledger.record_good(version(1))
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False, timeout=120)
    assert done.returncode == -9


def test_what_killed_a_replica_is_not_tried_until_the_alias_moves(killed, world, ledger):
    world.wanted = 2
    lane, refusal = begin(version(2), world.find, world.open, ledger)
    assert lane.model.version == 1 and "a replica died while it loaded shop-ranker:2" in refusal.problem
    follower = Follower(lane, world.find, world.open, ledger, FollowArgs(), refusal)
    follower.step()
    assert world.loads == [1] and serves(follower) == 1
    for world.wanted in (1, 2):
        follower.step()
    assert serves(follower) == 2


def test_the_only_version_is_tried_whatever_it_did(killed, world, ledger, tmp_path):
    (tmp_path / "serving" / f"{REFERENCE}.torch-fp32" / "good.json").unlink()
    world.wanted = 2
    lane, refusal = begin(version(2), world.find, world.open, ledger)
    assert lane.model.version == 2 and refusal is None


def test_only_one_replica_tries_a_version_that_none_has_served(tmp_path):
    first, second = (Ledger(REFERENCE, "torch-fp32", str(tmp_path)) for _ in range(2))

    def meanwhile():
        with pytest.raises(BusyError):
            second.load(version(2), lambda: None)
        return "loaded"

    assert first.load(version(2), meanwhile) == "loaded"
    assert second.load(version(2), lambda: "loaded") == "loaded"
    assert second.crashed() is None


def test_a_replica_that_is_stopped_while_it_tries_a_version_was_not_killed_by_it(tmp_path, world, ledger):
    lane, _ = begin(version(1), world.find, world.open, ledger)
    follower = Follower(lane, world.find, world.open, ledger, FollowArgs())
    world.wanted = 2
    world.on_load = lambda wanted: follower.close()
    follower.step()
    assert not (tmp_path / "serving" / f"{REFERENCE}.torch-fp32" / "trying.json").exists()
    assert Ledger(REFERENCE, "torch-fp32", str(tmp_path)).crashed() is None


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', "{}"])
def test_a_damaged_memory_is_no_memory(ledger, tmp_path, content, caplog):
    ledger.record_good(version(1))
    next(tmp_path.rglob("good.json")).write_text(content)
    assert ledger.good() is None and "is not read" in caplog.text
    ledger.record_good(version(2))
    assert ledger.good() == version(2)


def test_a_name_alone_is_its_champion(tmp_path):
    Ledger("shop-ranker", "torch-fp32", str(tmp_path)).record_good(version(1))
    assert Ledger(REFERENCE, "torch-fp32", str(tmp_path)).good() == version(1)
    assert Ledger(REFERENCE, "openvino-int8", str(tmp_path)).good() is None


# -- Heads


@pytest.mark.parametrize(
    ("heads", "problem"),
    [
        (("relevance",), "no head click"),
        (("click", "relevance"), ""),
        (("click", "relevance", "purchase"), ""),
    ],
)
def test_a_version_has_the_heads_that_the_application_was_built_on(heads, problem):
    if not problem:
        check_heads(model(2, heads), model(1))
        return
    with pytest.raises(ProbeError, match=problem):
        check_heads(model(2, heads), model(1))


def test_a_version_decides_by_the_same_head():
    with pytest.raises(ProbeError, match="would order by purchase, not by click"):
        check_heads(model(2, ("purchase", "click")), model(1, ("click",)))


def test_the_essence_of_an_error_has_no_folders():
    assert essence(IntegrityError("s3://b/c/model.safetensors is damaged")) == "model.safetensors is damaged"
    assert essence(IntegrityError("/a/b.c/d-e/config.json: line 3", remedy="x")) == "config.json: line 3"
    assert essence(RuntimeError("secret /path")) == "RuntimeError; the log of the ranker has more"


def test_the_state_is_plain():
    refusal = Refusal.of(version(2), FailedError("x"))
    assert Refusal.of(version(2), FailedError("x"), refusal).tries == 2
