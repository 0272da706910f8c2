"""Pretraining in this process: what it learns, what it goes on from, and what a fine-tune takes over."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from planogram import pretrain as module
from planogram import storage
from planogram.config import PretrainConfig
from planogram.data.tokenizer import load_tokenizer
from planogram.errors import ConfigError, DataError
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.section import load
from planogram.tasks import language
from planogram.train.context import local_context

RUN = [
    "backbone={name: scratch, hidden_size: 32, layers: 1, attention_heads: 2, vocab_size: 300}",
    "text.max_tokens=32",
    "split.valid_share=0.25",
    "valid_share=0.2",
    "optimizer={learning_rate: 5e-3, head_learning_rate: 5e-3}",
    "train.epochs=12",
    "train.micro_batch=8",
    "train.validations_per_epoch=1",
    "train.patience=100",
    "train.precision=fp32",
    "launch.workers=0",
]
GPT2 = (
    "objective=causal",
    "backbone={name: scratch, family: gpt2, hidden_size: 32, layers: 1, attention_heads: 2, vocab_size: 300}",
)


@pytest.fixture(scope="module")
def configured(tiny_shop):
    def make(run: str, *overrides: str) -> PretrainConfig:
        return load(PretrainConfig, None, [*RUN, f"shop={tiny_shop}", f"run={run}", *overrides])

    return make


@pytest.fixture(scope="module")
def pretrain(in_home, configured):
    def start(run: str, *overrides: str) -> dict:
        made = module.run(configured(run, *overrides))
        return made | {"result": storage.read_json(storage.join(made["run_dir"], "result.json"))}

    return start


@pytest.fixture(scope="module")
def masked(pretrain):
    return pretrain("masked")


@pytest.fixture(scope="module")
def causal(pretrain):
    return pretrain("causal", *GPT2)


@pytest.mark.parametrize("run", ["masked", "causal"])
def test_perplexity_falls_from_that_of_a_guess(run, request):
    made = request.getfixturevalue(run)
    vocabulary = load_tokenizer(Path(made["bundle"])).get_vocab_size()
    values = [entry["perplexity"] for entry in made["history"]]
    assert values[0] == pytest.approx(vocabulary, rel=0.2)
    assert min(values) < 0.3 * values[0]
    assert made["metrics"]["perplexity"] == pytest.approx(min(values), rel=1e-6)
    # A dozen masked tokens validate: too few for a share of right guesses.
    if run == "causal":
        assert made["metrics"]["causal_accuracy"] > 0.3


def test_the_bundle_is_a_language_model(masked):
    folder, manifest = open_bundle(masked["bundle"])
    assert (manifest.kind, manifest.heads, manifest.pooling, manifest.max_tokens) == ("language-model", (), "mean", 32)
    assert manifest.metrics == masked["metrics"]
    assert manifest.lineage["stage"] == "pretrain"
    names = load_file(folder / WEIGHTS)
    assert {name.partition(".")[0] for name in names} == {"backbone", "lm_head"}
    assert not [name for name in names if "decoder" in name]  # tied: the embeddings are there once


def test_the_same_seed_gives_the_same_weights(pretrain, masked):
    again = pretrain("masked-again")
    costs = ("seconds", "peak_memory_mb")
    results = [{key: run["result"][key] for key in run["result"] if key not in costs} for run in (again, masked)]
    assert results[0] == results[1]
    weights, others = (load_file(Path(made["bundle"], WEIGHTS)) for made in (again, masked))
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(pretrain, masked, monkeypatch, share, die_at, assert_same):
    """The masks of an epoch are those of that epoch also after a resume."""
    step = round(share * masked["steps"])
    with monkeypatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(InterruptedError):
            pretrain(f"masked-killed-{step}")
    assert_same(pretrain(f"masked-killed-{step}"), masked)


@pytest.mark.parametrize("run", ["masked", "causal"])
def test_continued_pretraining_starts_where_its_bundle_ended(run, request, pretrain):
    parent = request.getfixturevalue(run)
    settings = ["train.max_steps=2", f"backbone={{name: {parent['bundle']}}}"]
    made = pretrain(f"{run}-continued", *(GPT2[:1] if run == "causal" else ()), *settings)
    assert made["history"][0]["perplexity"] == pytest.approx(parent["metrics"]["perplexity"], rel=1e-5)


@pytest.mark.parametrize(("run", "pooling"), [("masked", "mean"), ("masked", "pair"), ("causal", "last")])
def test_a_fine_tune_starts_from_the_bundles_backbone(run, pooling, request, finetune):
    parent = request.getfixturevalue(run)
    made = finetune(
        f"on-{run}-{pooling}", f"backbone={{name: {parent['bundle']}, pooling: {pooling}}}", "train.epochs=1"
    )
    weights = load_file(Path(parent["bundle"], WEIGHTS))
    start = load_file(Path(made["run_dir"], "initial", WEIGHTS))
    assert {f"backbone.{name}" for name in start} == {name for name in weights if name.startswith("backbone.")}
    for name, tensor in start.items():
        assert torch.equal(tensor, weights[f"backbone.{name}"]), name
    assert math.isfinite(made["metrics"]["ndcg@10"])


def test_a_fine_tune_on_a_bundle_is_evaluated(masked, finetune, tiny_shop):
    from planogram.config import EvaluateConfig
    from planogram.evaluate.offline import run

    made = finetune("to-evaluate", f"backbone={{name: {masked['bundle']}}}", "train.epochs=1")
    settings = [f"bundle={made['bundle']}", f"shop={tiny_shop}", "workers=0", "bootstrap=0"]
    assert run(load(EvaluateConfig, None, settings))


def test_validation_masks_are_the_same_every_time_and_training_masks_are_not(masked, configured, in_home):
    task = language.LanguageTask(configured("masked"), local_context(""), Path(masked["run_dir"], "initial"))
    task.model.eval()
    seen = []

    class Engine:
        def forward(self, input_ids, attention_mask, scored):
            seen.append(input_ids)
            return task.model(input_ids, attention_mask, scored)

    (first, *_) = task.validation_batches()
    outputs = [task.predict(Engine(), first) for _ in range(2)]
    assert torch.equal(*outputs)
    assert torch.equal(*seen)
    batch = task.micro_batches(0)[0]
    task.loss(Engine(), batch)
    task.loss(Engine(), batch)
    assert torch.equal(seen[-1], seen[-2])
    task.micro_batches(1)
    task.loss(Engine(), batch)
    assert not torch.equal(seen[-1], seen[-2])


def test_perplexity_is_of_all_tokens_and_not_of_batches():
    outputs = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 0.0]], dtype=np.float32)
    assert language.metrics(outputs, "masked") == pytest.approx({"perplexity": math.e, "masked_accuracy": 1 / 3})


def test_texts_that_a_fine_tune_tests_are_left_out(configured, tiny_shop):
    from planogram.config import ClickConfig, TowerConfig
    from planogram.data.examples import Source
    from planogram.data.examples import load as load_examples

    config = configured("texts")
    source = Source(config.shop, config.text, config.split, ClickConfig(), TowerConfig(), "train")
    training, validation = language.split_texts(config)
    known = set(training) | set(validation)
    assert not set(training) & set(validation)
    parts = {
        part: {query for query, _ in load_examples("relevance", replace(source, part=part)).pairs}
        for part in ("train", "valid", "test")
    }
    assert parts["train"] <= known
    assert not (parts["valid"] | parts["test"]) & known
    everything = language.split_texts(configured("all", "part=all"))
    assert set().union(*parts.values()) <= set().union(*everything)
    assert len(known) == 24 + len(parts["train"])


def test_a_split_by_product_holds_products_out(configured):
    config = configured("by-product", "split.by=product")
    training, validation = language.split_texts(config)
    everything = language.split_texts(configured("all", "part=all", "sources=[products]"))
    products = set().union(*everything)
    assert 0 < len(products & {*training, *validation}) < len(products) == 24


def test_whether_a_text_validates_does_not_depend_on_the_others(configured):
    both = language.split_texts(configured("x", "part=all"))
    products = language.split_texts(configured("x", "part=all", "sources=[products]"))
    assert set(products[1]) <= set(both[1])


def test_a_shop_without_the_texts_says_so(configured):
    with pytest.raises(DataError, match="0 different texts of reviews"):
        language.split_texts(configured("x", "sources=[reviews]"))


@pytest.mark.parametrize("settings", [("objective=causal",), (GPT2[1],)])
def test_an_objective_that_the_backbone_cannot_learn_is_refused(pretrain, settings):
    with pytest.raises(ConfigError, match="objective=") as error:
        pretrain(f"refused-{len(settings[0])}", *settings)
    assert "backbone.family" in error.value.remedy


def test_a_long_text_becomes_several_chunks(masked):
    tokenizer = load_tokenizer(Path(masked["bundle"]))
    made = language.chunks(["red leather shoes " * 20, "blue", ""], tokenizer, 16, masked=True)
    content = len(tokenizer.encode("red leather shoes " * 20, add_special_tokens=False).ids)
    assert len(made) == math.ceil(content / 14) + 1
    assert max(made.lengths) == 16
    joined = np.concatenate([made.ids(place)[1:-1] for place in range(len(made) - 1)])
    assert list(joined) == tokenizer.encode("red leather shoes " * 20, add_special_tokens=False).ids


@pytest.mark.parametrize("settings", [("train.zero_stage=3",), ("train.precision=bf16",), ("masking=span",)])
def test_other_ways_to_train_also_learn(pretrain, masked, settings):
    made = pretrain(settings[0].replace("=", "-").replace("_", "-").replace(".", "-"), *settings)
    values = [entry["perplexity"] for entry in made["history"]]
    assert min(values) < 0.5 * values[0]
