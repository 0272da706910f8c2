import numpy as np
import pytest
from safetensors.numpy import save_file

from planogram.errors import ConfigError, IntegrityError, NotFoundError
from planogram.registry.bundle import WEIGHTS, BundleManifest, Head, write_bundle
from planogram.registry.store import Registry
from planogram.serve.app import build, resolve
from planogram.serve.settings import AppArgs


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    manifest = BundleManifest(
        name="tiny",
        heads=(Head(name="click"), Head(name="relevance")),
        backbone="none",
        pooling="cls",
        text_fields=("title",),
        max_tokens=8,
    )
    folder = tmp_path / "tiny"
    with write_bundle(str(folder), manifest) as aside:
        save_file({"w": np.zeros(2, dtype=np.float32)}, aside / WEIGHTS)
    return folder


def test_a_folder_is_a_model_that_was_never_published(bundle):
    model = resolve(str(bundle))
    assert (model.name, model.version, model.path) == ("tiny", 0, str(bundle))
    assert model.heads == ("click", "relevance") and model.primary == 1
    assert model.text_fields == ("title",)


def test_an_alias_is_resolved_once(bundle):
    registry = Registry()
    registry.promote(registry.publish(str(bundle), "shop-ranker", "test").reference, "champion", "test")
    model = resolve("shop-ranker@champion")
    assert (model.name, model.version) == ("shop-ranker", 1)
    assert "champion" not in model.path and model.digest in model.path


def test_a_missing_model_is_named(bundle):
    with pytest.raises(NotFoundError, match="nothing"):
        resolve("nothing@champion")


def test_a_damaged_bundle_is_refused_before_any_replica_starts(bundle):
    (bundle / WEIGHTS).write_bytes(b"x" * (bundle / WEIGHTS).stat().st_size)
    with pytest.raises(IntegrityError, match=WEIGHTS):
        build(AppArgs(ranker=str(bundle), routes=("rerank",)))


def test_an_engine_whose_export_is_missing_is_refused_before_any_replica_starts(bundle):
    args = AppArgs(ranker=str(bundle), routes=("rerank",), engine={"engine": "openvino-int8"})
    with pytest.raises(NotFoundError, match="no export openvino-int8"):
        build(args)


def test_a_weight_for_what_the_model_lacks_is_refused_before_any_replica_starts(bundle):
    args = AppArgs(ranker=str(bundle), routes=("rerank",), blend={"weights": {"purchase": 1.0}})
    with pytest.raises(ConfigError, match=r"purchase(.|\n)*click, relevance, sentiment"):
        build(args)


@pytest.mark.parametrize(
    ("routes", "names"),
    [
        (("rerank",), {"Gateway", "Ranker"}),
        (("search",), {"Gateway", "Ranker", "Retriever"}),
        (("recommend", "rerank"), {"Gateway", "Ranker", "Retriever"}),
    ],
)
def test_the_application_has_bounded_queues_and_quick_health_checks(bundle, routes, names):
    from ray.serve._private.build_app import build_app

    built = build_app(build(AppArgs(ranker=str(bundle), shop="shop", routes=routes)), name="test")
    assert {deployment.name for deployment in built.deployments} == names
    for deployment in built.deployments:
        options = deployment._deployment_config
        assert options.max_ongoing_requests > 5 and 0 < options.max_queued_requests < 1000
        assert options.health_check_period_s * 3 + options.health_check_timeout_s * 3 <= 30
        assert options.autoscaling_config.max_replicas > 1
    assert sum(deployment.ray_actor_options["num_cpus"] for deployment in built.deployments) < 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "bi-encoder", "heads": ()}, "bi-encoder"),
        ({"features": {"numeric": [{"name": "price", "edges": [0.0, 1.0]}]}}, "price"),
    ],
)
def test_what_does_not_rank_by_text_alone_is_no_ranker(bundle, tmp_path, change, named):
    manifest = BundleManifest.model_validate(
        {"name": "other", "heads": [{"name": "click"}], "backbone": "none", "text_fields": ["title"], "max_tokens": 8}
        | change
    )
    with write_bundle(str(tmp_path / "other"), manifest) as aside:
        save_file({"w": np.zeros(2, dtype=np.float32)}, aside / WEIGHTS)
    with pytest.raises(ConfigError, match=named):
        resolve(str(tmp_path / "other"))
