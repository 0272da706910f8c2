"""The embedder over a tiny bi-encoder, without a cluster; and what may be one."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from planogram.config import BackboneConfig
from planogram.data.text import clean
from planogram.engines.embedding import EmbeddingEngine
from planogram.errors import ConfigError, NotFoundError
from planogram.models.backbone import load_backbone
from planogram.models.bi_encoder import BiEncoder
from planogram.models.heads import seed_everything
from planogram.registry.bundle import WEIGHTS, BundleManifest, write_bundle
from planogram.serve.app import build
from planogram.serve.embedder import Embedder
from planogram.serve.resolve import resolve_embedder
from planogram.serve.settings import AppArgs, EngineArgs
from planogram.serve.values import FailedError

TEXTS = ["red <b>shoes</b>", "lamp", "a very long text about a red lamp and a blue chair for every day of the year"]
ARGS = EngineArgs(threads=1, batch_tokens=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    seed_everything(0)
    scratch = BackboneConfig(name="scratch", hidden_size=16, layers=1, attention_heads=2)
    backbone, tokenizer = load_backbone(scratch, TEXTS, 16)
    manifest = BundleManifest(
        name="tiny-bi",
        kind="bi-encoder",
        backbone="scratch",
        text_fields=("title",),
        max_tokens=8,
        pad_id=tokenizer.token_to_id("[PAD]"),
    )
    folder = tmp_path_factory.mktemp("bundles") / "tiny-bi"
    with write_bundle(str(folder), manifest) as aside:
        save_file(BiEncoder(backbone, "mean").trained_weights(), aside / WEIGHTS)
        backbone.config.save_pretrained(aside)
        tokenizer.save(str(aside / "tokenizer.json"))
    return str(folder)


@pytest.fixture
def embedder(folder, home):
    return Embedder(ARGS, resolve_embedder(folder))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_vectors_are_those_of_evaluation(embedder, folder):
    embedded = asyncio.run(embedder.embed(TEXTS))
    engine = EmbeddingEngine(folder)
    cleaned = [clean(text) for text in TEXTS]
    wanted = engine.embed(cleaned)
    np.testing.assert_allclose(embedded.values, wanted, atol=1e-6)
    assert embedded.values.shape == (3, 16) and embedded.values.dtype == np.float32
    assert np.linalg.norm(embedded.values, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedded.truncated == [False, False, True]
    assert embedded.num_tokens == sum(engine.tokenize(cleaned).lengths)


def test_requests_at_the_same_time_each_get_their_own(embedder, folder):
    async def ask():
        return await asyncio.gather(*(embedder.embed(TEXTS[number % 3 :]) for number in range(9)))

    wanted = EmbeddingEngine(folder).embed([clean(text) for text in TEXTS])
    for number, embedded in enumerate(asyncio.run(ask())):
        np.testing.assert_allclose(embedded.values, wanted[number % 3 :], atol=1e-6)


def test_vectors_that_are_not_finite_are_refused(embedder, monkeypatch):
    async def ask():
        await embedder.check_health()
        monkeypatch.setattr(embedder._engine, "_encode", lambda batch: np.full((len(batch[0]), 16), np.nan, np.float32))
        return await asyncio.gather(embedder.embed(TEXTS), embedder.check_health(), return_exceptions=True)

    for error in asyncio.run(ask()):
        assert isinstance(error, FailedError) and "not finite" in str(error)


def test_the_bundle_says_what_it_gives(folder, home):
    model = resolve_embedder(folder)
    assert (model.name, model.width, model.max_tokens, model.heads) == ("tiny-bi", 16, 8, ())


def test_an_engine_that_gives_no_vectors_is_refused_before_any_replica_starts(folder, home):
    with pytest.raises(ConfigError, match="torch-bf16"):
        resolve_embedder(folder, "torch-bf16")
    with pytest.raises(NotFoundError, match="openvino-int8"):
        resolve_embedder(folder, "openvino-int8")


def test_a_reranker_is_no_embedder(ranker_folder, home):
    args = AppArgs(ranker=str(ranker_folder), embedder=str(ranker_folder), routes=("rerank", "embeddings"))
    with pytest.raises(ConfigError, match=r"cross-encoder.*\n.*bi-encoder"):
        build(args)


def test_a_replica_does_not_start_on_a_reranker_either(folder, ranker_folder, home):
    with pytest.raises(ConfigError, match="cross-encoder"):
        Embedder(ARGS, replace(resolve_embedder(folder), path=str(ranker_folder)))


def test_the_graph_has_an_embedder_when_one_is_named_and_fits_on_two_cores(folder, ranker_folder, home):
    from ray.serve._private.build_app import build_app

    args = AppArgs(ranker=str(ranker_folder), embedder=folder, shop="shop", routes=("search", "rerank", "embeddings"))
    built = build_app(build(args), name="test")
    assert {deployment.name for deployment in built.deployments} == {"Gateway", "Retriever", "Ranker", "Embedder"}
    assert sum(deployment.ray_actor_options["num_cpus"] for deployment in built.deployments) < 2
    for deployment in built.deployments:
        options = deployment._deployment_config
        assert 0 < options.max_queued_requests < 1000 and options.health_check_timeout_s <= 5


@pytest.fixture
def ranker_folder(tmp_path):
    manifest = BundleManifest(
        name="tiny", heads=({"name": "relevance"},), backbone="none", text_fields=("title",), max_tokens=8
    )
    with write_bundle(str(tmp_path / "tiny"), manifest) as aside:
        save_file({"w": torch.zeros(2)}, aside / WEIGHTS)
    return tmp_path / "tiny"


def test_a_text_is_computed_once(embedder, monkeypatch):
    computed = []
    infer = embedder._batcher._infer
    monkeypatch.setattr(embedder._batcher, "_infer", lambda tokens: computed.append(len(tokens)) or infer(tokens))

    async def ask():
        return await embedder.embed(TEXTS), await embedder.embed([TEXTS[2], "red chair", TEXTS[0]])

    first, again = asyncio.run(ask())
    assert computed == [3, 1]
    np.testing.assert_array_equal(again.values[[2, 0]], first.values[[0, 2]])
    assert again.truncated == [True, False, False]
