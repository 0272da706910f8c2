"""Bi-encoders, from the contrastive run to the vectors of the bundle."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from planogram import storage
from planogram.compress import run as compress
from planogram.config import CompressConfig, EvaluateConfig
from planogram.data.examples import texts_of
from planogram.data.examples.base import examples
from planogram.engines.embedding import EmbeddingEngine
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError, DataError
from planogram.evaluate import offline
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.train.progress import PROGRESS, read_progress

BI = [
    "model=bi-encoder",
    "backbone.pooling=mean",
    "optimizer.learning_rate=2e-3",
    "train.select_by=recall@10",
    "train.epochs=6",
]


@pytest.fixture(scope="module")
def trained(finetune):
    return finetune("bi", *BI)


def test_training_lowers_the_loss(trained):
    losses = [point["loss"] for point in read_progress(storage.join(trained["run_dir"], PROGRESS))["train"]]
    assert len(losses) == trained["steps"] > 8
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_the_bundle_gives_unit_vectors_in_the_order_of_the_texts(trained):
    engine = EmbeddingEngine(trained["bundle"])
    texts = ["red shoes", "a very long text about a green chair for every day of the year", "lamp"]
    vectors = engine.embed(texts)
    assert vectors.shape == (3, 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        assert engine.embed([text])[0] == pytest.approx(vector, abs=1e-5)


def test_evaluation_searches_among_all_products(trained, tiny_shop, in_home):
    asked = {"bundle": trained["bundle"], "shop": tiny_shop, "workers": 0}
    result = offline.run(EvaluateConfig(**asked))
    assert set(result["metrics"]) == set(result["lexical"]) == {"ndcg@10", "mrr@10", "recall@10"}
    assert 0 <= result["metrics"]["ndcg@10"] <= 1
    valid = offline.run(EvaluateConfig(**asked, part="valid"))
    assert valid["metrics"] == pytest.approx(trained["metrics"], abs=1e-6)


def test_its_exports_give_the_same_vectors_and_say_how_far_they_are_off(trained, tiny_shop, in_home, tmp_path):
    asked = CompressConfig(
        bundle=trained["bundle"], shop=tiny_shop, out=str(tmp_path / "b"), engines=("openvino-fp32", "openvino-int8")
    )
    made = compress.run(asked)
    texts = ["red shoes", "a very long text about a green chair for every day of the year", "lamp"]
    wanted, exact, small = (
        EmbeddingEngine(made["bundle"], name).embed(texts) for name in ("torch-fp32", "openvino-fp32", "openvino-int8")
    )
    np.testing.assert_allclose(exact, wanted, atol=1e-5)
    assert ((small * wanted).sum(1) > 0.95).all()
    assert made["engines"]["openvino-fp32"]["faults"] == []
    config = EvaluateConfig(bundle=made["bundle"], shop=tiny_shop, workers=0)
    by_torch, by_openvino = (
        offline.run(config.model_copy(update={"engine": name})) for name in ("torch-fp32", "openvino-fp32")
    )
    assert by_openvino == by_torch


def test_a_batch_in_chunks_trains_the_same_model(finetune, trained):
    chunked = finetune("bi-chunks", *BI, "contrastive.chunk=3", "backbone.dropout=0")
    whole = finetune("bi-whole", *BI, "contrastive.chunk=64", "backbone.dropout=0")
    weights, others = (load_file(f"{run['bundle']}/{WEIGHTS}") for run in (chunked, whole))
    assert max(float((weights[name] - others[name]).abs().max()) for name in others) < 1e-3


def test_an_interrupted_run_ends_as_if_nothing_had_happened(finetune, trained, monkeypatch, die_at, assert_same):
    with monkeypatch.context() as patch:
        die_at(patch, max(2, trained["steps"] // 2 + 1))
        with pytest.raises(InterruptedError):
            finetune("bi-cut", *BI)
    assert_same(finetune("bi-cut", *BI), trained)


def test_a_bi_encoder_is_no_scorer_and_the_other_way_round(trained, whole):
    with pytest.raises(ConfigError, match="bi-encoder"):
        TorchEngine(trained["bundle"])
    with pytest.raises(ConfigError, match="cross-encoder"):
        EmbeddingEngine(whole["bundle"])


def test_its_backbone_is_a_backbone_for_a_scorer(finetune, trained):
    run = finetune("from-bi", f"backbone.name={trained['bundle']}", "train.max_steps=1")
    initial = load_file(f"{run['run_dir']}/initial/{WEIGHTS}")
    own = load_file(f"{trained['bundle']}/{WEIGHTS}")
    assert all(torch.equal(tensor, own[f"backbone.{name}"]) for name, tensor in initial.items())


def test_pair_pooling_is_refused(finetune):
    with pytest.raises(ConfigError, match="pooling=pair"):
        finetune("bi-pair", "model=bi-encoder")


def test_texts_stand_once_and_grades_part_good_from_bad():
    pairs = [("q", "a"), ("q", "b"), ("q", "c"), ("r", "a"), ("r", "b")]
    texts = texts_of(examples(pairs, np.array([3.0, 2.0, 0.0, 1.0, 3.0])))
    assert texts.queries == ["q", "r"]
    assert texts.products == ["a", "b", "c"]
    assert texts.pairs.tolist() == [[0, 0], [1, 1]]
    assert {query: bad.tolist() for query, bad in texts.bad.items()} == {0: [2], 1: [0]}


def test_pairs_of_one_grade_all_fit_unless_it_is_zero():
    assert len(texts_of(examples([("q", "a"), ("r", "b")], np.array([1.0, 1.0]))).pairs) == 2
    with pytest.raises(DataError, match="no pair fits"):
        texts_of(examples([("q", "a")], np.array([0.0])))


def test_the_manifest_says_what_it_is(trained):
    _, manifest = open_bundle(trained["bundle"])
    assert manifest.kind == "bi-encoder"
    assert manifest.heads == ()
    assert manifest.lineage["config"]["model"] == "bi-encoder"
