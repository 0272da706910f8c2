"""Backbones of which a part does not train."""

import itertools

import pytest
from safetensors.torch import load_file

from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.tasks.contrastive import ContrastiveTask
from planogram.tasks.scoring import ScoringTask
from planogram.train.checkpoint import BEST_WEIGHTS, best_folder

EMBEDDINGS = "backbone.embeddings.word_embeddings.weight"


@pytest.mark.parametrize("model", [(), ("model=bi-encoder", "backbone.pooling=mean")])
def test_frozen_embeddings_stay_and_are_in_the_bundle(finetune, whole, model, monkeypatch):
    later_is_better = itertools.count()
    for task in (ScoringTask, ContrastiveTask):  # the first weights would show nothing
        monkeypatch.setattr(task, "validate", lambda self, outputs: {"ndcg@10": next(later_is_better)})
    run = finetune(
        f"frozen-{len(model)}", f"backbone.name={whole['bundle']}", "backbone.freeze_embeddings=true", *model
    )
    before = load_file(open_bundle(whole["bundle"])[0] / WEIGHTS)
    after = load_file(open_bundle(run["bundle"])[0] / WEIGHTS)
    assert after[EMBEDDINGS].equal(before[EMBEDDINGS])
    assert EMBEDDINGS not in load_file(best_folder(run["run_dir"], run["best_step"]) / BEST_WEIGHTS)
    moved = "backbone.encoder.layer.0.output.dense.weight"
    assert not after[moved].equal(before[moved])
