"""A model that changes under load, and a canary, on a real Ray Serve with a tiny model."""

import httpx
import pytest

from planogram.benchmark import promotions
from planogram.benchmark.versions import CORRUPT, MODEL, good_version
from planogram.config import BenchmarkPromotionsConfig
from planogram.registry.store import Registry
from planogram.serve.launch import serving

from .test_serve import write_model

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("follow") / "tiny")


def test_promotions_cost_no_request_and_a_rollback_is_quick(ray_cluster, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path))
    config = BenchmarkPromotionsConfig(bundle=bundle, promotions=2 * len(CORRUPT), period_s=0.5, documents=4)
    result = promotions.run(config)
    assert result["requests"] > 20
    assert (result["non_2xx"], result["wrong"]) == (0, 0), result
    assert {each["kind"] for each in result["refused"]} == set(CORRUPT)
    assert all(each["problem"] for each in result["refused"])
    assert result["switch_s"]["max"] <= 5 and result["rollback_s"] <= 5, result
    assert (tmp_path / "benchmarks" / "promotions.json").is_file()


def test_a_canary_answers_and_gives_way(ray_cluster, bundle, tmp_path):
    config = BenchmarkPromotionsConfig(bundle=bundle, replica_cpus=0.5)
    with promotions.own_home(str(tmp_path)):
        registry = Registry()
        for number, alias in enumerate(("champion", "candidate"), 1):
            registry.promote(good_version(bundle, number).reference, alias, "test")
        values = promotions._serve_config(config)
        (application,) = values["applications"]
        application["args"]["canary"] = {"ranker": f"{MODEL}@candidate", "percent": 100, "timeout_s": 5.0}
        application["deployments"] += [
            {"name": "CanaryRanker", "ray_actor_options": {"num_cpus": 0.5}, "autoscaling_config": {"max_replicas": 1}},
            {"name": "Gateway", "user_config": {"canary": {"percent": 100.0}}},
        ]
        with serving(values) as server, httpx.Client(base_url=server.url, timeout=30) as client:
            body = {"query": "red", "documents": ["red shoes"]}
            assert client.post("/v1/rerank", json=body).json()["model"] == f"{MODEL}:2"
            assert client.post("/v1/rerank", json={**body, "model": f"{MODEL}:1"}).json()["model"] == f"{MODEL}:1"
            main, canary = client.get("/v1/models").json()["data"]
            assert (main["version"], canary["version"]) == (1, 2)
            assert canary["canary"] == {"percent": 100.0, "answered": 1, "missed": 0}
