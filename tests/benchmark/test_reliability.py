"""Scenarios over a stub server whose rankers are real processes, and are started again when they die."""

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.benchmark.conftest import ranking, response

from planogram import storage
from planogram.benchmark import hostile, reliability
from planogram.benchmark.bodies import Texts, rerank
from planogram.benchmark.load.generator import Generator, GeneratorError
from planogram.benchmark.scenarios import SCENARIOS, changed
from planogram.benchmark.scene import Scene
from planogram.benchmark.spawn import TargetError
from planogram.benchmark.targets import Running
from planogram.config import BenchmarkReliabilityConfig, HostileConfig
from planogram.section import parse
from planogram.serve.launch import check

SHORT = {"seconds": 1.2, "measure_s": 0.3, "kill_every_s": 0.4, "settle_s": 1.0, "clients": 2}


class Server:
    """Two rankers that sleep. One that ends, or is stopped, is replaced when somebody looks."""

    def __init__(self):
        self.config = {"applications": [{"args": {"engine": {"engine": "torch-fp32"}}}], "http_options": {}}
        self.made, self.all = {}, []
        self.wanted = 2

    def start(self):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.all.append(process)
        self.made[f"r{len(self.all)}"] = process

    def replicas(self, deployment="Ranker"):
        for name, process in list(self.made.items()):
            if process.poll() is not None or stopped(process.pid):
                del self.made[name]
        while len(self.made) < self.wanted:
            self.start()
        return {name: process.pid for name, process in self.made.items()}

    def block(self, name, seconds):
        self.blocked = name
        del self.made[name]

    def deploy(self, config):
        self.config = config
        self.made.clear()

    def close(self):
        for process in self.all:
            process.kill()
            process.wait()


def stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def scene(stub, tiny_bundle):
    async def reply(body):
        return response(200, ranking([0.5] * len(json.loads(body)["documents"])))

    stub.reply = reply
    config = parse(
        BenchmarkReliabilityConfig,
        {"bundle": str(tiny_bundle), "requests": {"documents": 2, "tokens": 12, "distinct": 2}, **SHORT},
        "a test",
    )
    server = Server()
    with Generator() as generator:
        yield Scene(
            config, rerank(Texts(str(tiny_bundle), None, config.requests)), generator, server, Running(stub.url, 0)
        )
    server.close()


def test_killed_rankers_are_counted_until_all_run_again(scene):
    found = SCENARIOS["kill"](scene)
    assert found["kills"] == len(found["full_strength_s"]) >= 1
    assert all(0 <= seconds < 1 for seconds in found["full_strength_s"])
    assert sum(process.returncode == -9 for process in scene.server.all) == found["kills"]
    assert found["success"] == 1 and found["wrong"] == 0 and found["capacity_per_s"] > 0
    assert sum(point["answered"] for point in found["timeline"]) == found["requests"]


def test_other_scores_than_before_are_wrong_bodies(scene, stub, monkeypatch):
    plan = scene.plan(0.2)

    async def other(body):
        return response(200, ranking([0.9] * len(json.loads(body)["documents"])))

    stub.reply = other
    monkeypatch.setattr(Scene, "plan", lambda *_: plan)
    assert SCENARIOS["kill"](scene)["wrong"] > 0


def test_a_frozen_ranker_is_woken_at_the_end(scene):
    found = SCENARIOS["freeze"](scene)
    assert found["out_of_rotation_s"] < 1 and found["full_strength_s"] < 2 and found["last_failure_s"] is None
    assert not any(stopped(process.pid) for process in scene.server.all)


def test_a_ranker_whose_loop_stands_still_is_replaced(scene):
    found = SCENARIOS["block"](scene)
    assert found["out_of_rotation_s"] < 1 and found["full_strength_s"] < 2 and found["last_failure_s"] is None
    assert scene.server.blocked not in scene.server.replicas()


def test_overload_is_compared_with_a_calm_time(scene, stub):
    found = SCENARIOS["overload"](scene)
    assert found["p99_calm_ms"] > 0 and found["p99_ratio"] > 0 and found["only_shed"]
    assert 0 < found["goodput"] < 4


def test_a_redeploy_is_over_when_all_are_new(scene):
    found = SCENARIOS["redeploy"](scene)
    assert found["replaced_s"] < 1 and found["not_2xx"] == 0
    assert scene.server.config["applications"][0]["args"]["engine"]["batch_tokens"] == 1023


def test_scaling_that_never_comes_is_null(scene):
    scene.server.wanted = 1
    found = SCENARIOS["autoscale"](scene)
    assert found["grown_s"] is None and found["shrunk_s"] is not None and found["lost"] == 0


def test_hostile_clients_are_told_apart_from_the_others(scene, stub, monkeypatch):
    async def reply(body):
        try:
            return response(200, ranking([0.5] * len(json.loads(body)["documents"])))
        except (ValueError, KeyError, TypeError, RecursionError):
            return response(422)

    stub.reply = reply
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    monkeypatch.setattr(
        hostile, "document", lambda url, key: {"paths": {"/v1/rerank": {"post": {"requestBody": body}}}}
    )
    monkeypatch.setattr(hostile, "_processes", lambda scene: scene.server.replicas())
    small = {"inputs": 40, "rate": 50.0, "raw_share": 0.0, "drips": 0}
    config = scene.config.model_copy(update={"hostile": HostileConfig(**small)})
    found = SCENARIOS["hostile"](replace(scene, config=config))
    assert found["inputs"] == 40 and found["server_errors"] == 0 and found["same_processes"]
    assert sum(found["input_statuses"].values()) == 40 and found["drip_statuses"] == {}
    assert found["p99_ratio"] > 0 and found["requests"] > 0


def test_a_changed_config_is_another_that_answers_the_same():
    before = {"applications": [{"args": {"engine": {"batch_tokens": 100}, "ranker": "m"}}], "http_options": {"port": 1}}
    after = changed(before)
    assert after["applications"][0]["args"] == {"engine": {"batch_tokens": 99}, "ranker": "m"}
    assert before["applications"][0]["args"]["engine"]["batch_tokens"] == 100 and after["http_options"] == {"port": 1}


def test_every_scenario_has_a_config_of_ray_serve(tiny_bundle):
    config = parse(BenchmarkReliabilityConfig, {"bundle": "b", "replicas": 3}, "a test")
    for name in SCENARIOS:
        made = check(reliability._config(config, name, str(tiny_bundle)))
        scaling = made["applications"][0]["deployments"][-1]["autoscaling_config"]
        assert scaling["max_replicas"] == 3 and scaling["min_replicas"] == (1 if name == "autoscale" else 3)


def test_what_cannot_be_played_is_named_and_the_rest_goes_on(home, scene, monkeypatch):
    @contextmanager
    def started(self):
        if "kill" in self.name:
            raise TargetError("no port")
        yield scene.running

    monkeypatch.setattr(reliability.PlanogramServer, "started", started)
    monkeypatch.setattr(reliability.PlanogramServer, "replicas", lambda self, part="Ranker": scene.server.replicas())
    monkeypatch.setattr(reliability, "machine", lambda threads: {"cpu": "a CPU", "threads": threads})

    def lost(scene):
        raise GeneratorError("no result")

    monkeypatch.setitem(SCENARIOS, "freeze", lost)
    config = scene.config.model_copy(update={"scenarios": ("kill", "freeze", "overload")})
    result = reliability.run(config)
    assert list(result["scenarios"]) == ["overload"]
    assert result["failed"] == {"kill": "no port", "freeze": "no result"}
    assert storage.read_json(result["file"])["scenarios"] == result["scenarios"]
    html = storage.read_bytes(result["page"]).decode()
    assert "no port" in html and "goodput" in html and storage.exists(result["plot"])
