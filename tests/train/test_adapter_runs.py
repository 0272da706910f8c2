"""Parameter-efficient tuning from the backbone of a bundle to a bundle."""

import itertools

import numpy as np
import pytest
from safetensors.torch import load_file

from planogram.engines.base import score
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError, IntegrityError
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.registry.store import Registry
from planogram.tasks.scoring import ScoringTask
from planogram.train import run as run_module
from planogram.train.checkpoint import BEST_LOGITS, best_folder

STEPS = ["train.epochs=2", "optimizer.head_learning_rate=1e-2", "optimizer.learning_rate=1e-2"]
LATER_IS_BETTER = itertools.count()
MERGED = ["head", "lora", "rslora", "dora", "ia3", "adalora"]
KEPT = ["prefix", "houlsby"]


@pytest.fixture(scope="module")
def tune(finetune, whole):
    def start(method: str, *overrides: str, run: str | None = None):
        base = [f"backbone.name={whole['bundle']}", f"adapter.method={method}", "adapter.rank=2"]
        with pytest.MonkeyPatch.context() as patch:
            # The last weights are to be the best: the base itself would test nothing of the adapter.
            patch.setattr(ScoringTask, "validate", lambda self, outputs: {"ndcg@10": next(LATER_IS_BETTER)})
            return finetune(run or f"adapter-{method}", *base, "adapter.bottleneck=4", *STEPS, *overrides)

    return start


def validation_logits(run: dict) -> np.ndarray:
    best = best_folder(run["run_dir"], run["best_step"])
    return load_file(best / BEST_LOGITS)["logits"].numpy()


def bundle_logits(run: dict, configure) -> np.ndarray:
    """Of the validation examples, by the engine that loads the bundle."""
    from planogram.tasks.scoring import load, source

    examples = load("relevance", source(configure("whole"), "valid"))
    scores = score(TorchEngine(run["bundle"]), examples.pairs, 4096).values
    return np.log(scores / (1 - scores))


@pytest.mark.parametrize("method", [*MERGED, *KEPT])
def test_the_bundle_scores_as_the_trained_adapter_did(tune, configure, method, in_home):
    run = tune(method)
    assert run["best_step"] == run["steps"] == 12
    assert bundle_logits(run, configure) == pytest.approx(validation_logits(run), abs=2e-4)
    folder, manifest = open_bundle(run["bundle"])
    names = load_file(folder / WEIGHTS).keys()
    kept = method in KEPT
    assert (manifest.adapter is not None) == kept
    assert ("backbone.embeddings.word_embeddings.weight" in names) != kept


def test_an_adapter_may_stay_beside_its_base(tune, configure, in_home):
    merged, kept = tune("lora"), tune("lora", "adapter.merge=false", run="lora-kept")
    assert bundle_logits(kept, configure) == pytest.approx(bundle_logits(merged, configure), abs=2e-4)
    _, manifest = open_bundle(kept["bundle"])
    assert manifest.adapter is not None
    assert all("lora" in name or not name.startswith("backbone.") for name in load_file(f"{kept['bundle']}/{WEIGHTS}"))


def test_another_base_is_refused(tune, finetune, in_home, tmp_path):
    import json
    import shutil

    from planogram import storage
    from planogram.registry.bundle import MANIFEST

    kept = tune("lora", "adapter.merge=false", run="lora-kept")
    folder = shutil.copytree(kept["bundle"], tmp_path / "bundle")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["adapter"]["base_digest"] = "0" * 64
    (folder / MANIFEST).unlink()
    storage.seal(folder, MANIFEST, {key: value for key, value in manifest.items() if key != "files"})
    with pytest.raises(IntegrityError, match="not the base"):
        TorchEngine(str(folder))


def test_the_lineage_names_the_bundle_that_was_the_backbone(finetune, whole, in_home):
    """Also where its alias has moved on when the run ends."""
    registry = Registry()
    published = registry.publish(whole["bundle"], "parent", "a backbone")
    registry.promote(published.reference, "base", "for a test")
    short = ("adapter.method=head", "train.max_steps=1")
    by_folder = finetune("child-of-a-folder", f"backbone.name={whole['bundle']}", *short)
    write = run_module._write

    def move_and_write(*arguments):
        other = registry.publish(by_folder["bundle"], "parent", "another")
        registry.promote(other.reference, "base", "meanwhile")
        return write(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "_write", move_and_write)
        by_alias = finetune("child-of-an-alias", "backbone.name=parent@base", *short)
    runs = (whole, by_folder, by_alias)
    assert [open_bundle(run["bundle"])[1].lineage["parent"] for run in runs] == [
        None,
        {"name": "shop-ranker", "version": None, "digest": published.digest},
        {"name": "parent", "version": 1, "digest": published.digest},
    ]


def test_an_adapter_needs_a_base_that_knows_something(finetune):
    with pytest.raises(ConfigError, match="scratch"):
        finetune("adapter-scratch", "adapter.method=lora")


def test_adalora_resumes_as_if_nothing_had_happened(tune, monkeypatch, die_at):
    expected = tune("adalora", run="adalora-whole")
    with monkeypatch.context() as patch:
        die_at(patch, 9)
        with pytest.raises(InterruptedError):
            tune("adalora", run="adalora-cut")
    resumed = tune("adalora", run="adalora-cut")
    assert resumed["best_step"] == expected["best_step"] == 12
    weights, others = (load_file(f"{run['bundle']}/{WEIGHTS}") for run in (resumed, expected))
    assert max(float((weights[name] - others[name]).abs().max()) for name in others) <= 1e-6


@pytest.mark.parametrize("base", ["nf4", "int8"])
def test_a_quantized_base_trains_and_its_adapter_merges_into_the_float_one(tune, base, in_home):
    run = tune("lora", f"adapter.base={base}", run=f"lora-{base}")
    folder, manifest = open_bundle(run["bundle"])
    assert manifest.adapter is None
    assert "backbone.embeddings.word_embeddings.weight" in load_file(folder / WEIGHTS)


def test_cutoffs_and_metrics_are_those_of_the_merged_weights(tune, configure, in_home):
    from planogram.config import EvaluateConfig
    from planogram.evaluate import offline

    run = tune("lora", "adapter.base=nf4", run="lora-nf4")
    found = offline.run(EvaluateConfig(bundle=run["bundle"], shop=configure("whole").shop, part="valid", workers=0))
    metrics = open_bundle(run["bundle"])[1].metrics
    assert {name: found["metrics"][name] for name in metrics} == pytest.approx(metrics, abs=1e-6)
    # What was trained scored otherwise, or the test would show nothing.
    assert np.abs(bundle_logits(run, configure) - validation_logits(run)).max() > 1e-3
