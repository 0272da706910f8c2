from pathlib import Path

import pytest
import yaml

from planogram.errors import ConfigError
from planogram.section import parse
from planogram.serve.settings import AppArgs, CanaryChange

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "serve_configs").glob("*.yaml") if path.name != "alerts.yaml")


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_what_ray_serve_and_the_application_expect(path):
    from ray.serve.schema import ServeDeploySchema

    from planogram.serve.launch import IMPORT_PATH, check

    values = yaml.safe_load(path.read_text())
    check(values)
    schema = ServeDeploySchema.model_validate(values)
    assert schema.http_options.host == "127.0.0.1"
    for application in schema.applications:
        assert application.import_path == IMPORT_PATH
        args = AppArgs.model_validate(application.args)
        assert schema.http_options.request_timeout_s > args.limits.request_timeout_s
        assert {deployment.name for deployment in application.deployments} <= {
            "Gateway",
            "Retriever",
            "Ranker",
            "Embedder",
            "CanaryRanker",
        }
        assert args.canary or "CanaryRanker" not in {deployment.name for deployment in application.deployments}


def test_the_canarys_share_is_what_the_gateway_can_change():
    values = yaml.safe_load((ROOT / "serve_configs" / "canary.yaml").read_text())
    (application,) = values["applications"]
    (gateway,) = [entry for entry in application["deployments"] if entry["name"] == "Gateway"]
    assert parse(CanaryChange, gateway["user_config"]["canary"], "canary.yaml").percent == 10


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "ranker is missing"),
        ({"ranker": "r", "shop": "s", "rankr": 1}, "did you mean 'ranker'"),
        ({"ranker": "r", "shop": "s", "engine": {"engin": "torch-fp32"}}, "valid keys: batch_tokens"),
        ({"ranker": "r", "shop": "s", "engine": {"engine": "torch-int4"}}, "engine.engine"),
        ({"ranker": "r", "shop": "s", "routes": ["serch"]}, "routes.0"),
        ({"ranker": "r", "shop": "s", "limits": {"body_bytes": "1"}}, "limits.body_bytes"),
        ({"ranker": "r", "shop": "s", "auth": {"key": "x"}}, "valid keys: burst, documents_per_s, keys_file"),
        ({"ranker": "r", "shop": "s", "auth": {"requests_per_s": 0.0}}, "auth.requests_per_s"),
        ({"ranker": "r", "shop": "s", "tracing": {"endpoint": "file:///etc"}}, "tracing.endpoint"),
        ({"ranker": "r", "shop": "s", "tracing": {"share": 1.5}}, "tracing.share"),
        ({"ranker": "r"}, "needs `shop`"),
        ({"ranker": "r", "routes": ["embeddings"]}, "needs `embedder`"),
        ({"ranker": "r", "shop": "s", "follow": {"period_s": -1}}, "follow.period_s"),
        ({"ranker": "r", "shop": "s", "canary": {"ranker": "c"}}, "canary.percent is missing"),
        ({"ranker": "r", "shop": "s", "canary": {"ranker": "c", "percent": 101}}, "canary.percent"),
        ({"ranker": "r", "shop": "s", "limits": {"ranker_timeout_s": 10.0}}, "must be less than"),
    ],
)
def test_a_wrong_argument_is_named(args, message):
    with pytest.raises(ConfigError, match=message):
        AppArgs.model_validate(args)


def test_production_has_a_pool_of_processors_and_one_of_gpus():
    (path,) = [path for path in CONFIGS if path.name == "production.yaml"]
    applications = {entry["name"]: entry for entry in yaml.safe_load(path.read_text())["applications"]}
    assert len({entry["route_prefix"] for entry in applications.values()}) == len(applications)
    rankers = {
        entry["args"]["engine"]["engine"]: deployment
        for entry in applications.values()
        for deployment in entry["deployments"]
        if deployment["name"] == "Ranker"
    }
    assert rankers["torch-bf16"]["ray_actor_options"]["num_gpus"] == 1
    assert "num_gpus" not in rankers["openvino-int8"]["ray_actor_options"]
    assert all("autoscaling_config" in deployment for deployment in rankers.values())


def test_reranking_needs_no_shop():
    assert AppArgs.model_validate({"ranker": "r", "routes": ["rerank"]}).shop is None
