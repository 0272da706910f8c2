"""A cross-encoder that reads numbers beside the text, from training to the server's check."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from planogram.data.examples import load
from planogram.data.match import MATCH
from planogram.engines.base import score
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError
from planogram.registry.bundle import open_bundle
from planogram.serve.batching import TokenBatcher
from planogram.serve.resolve import resolve
from planogram.tasks import scorers
from planogram.tasks.backbones import source
from planogram.train.checkpoint import BEST_LOGITS, best_folder


@pytest.fixture(scope="module")
def matched(finetune):
    products = ["tower.crosses=2", "tower.input_dropout=0.1"]
    return finetune("matched", "tower.match=true", "optimizer.head_learning_rate=1e-2", *products)


def test_the_engine_counts_the_matches_that_training_did(matched, configure):
    assert matched["best_step"] > 0
    pairs = load("relevance", source(configure("whole"), "valid")).pairs
    scores = score(TorchEngine(matched["bundle"]), pairs, 4096).values
    trained = load_file(best_folder(matched["run_dir"], matched["best_step"]) / BEST_LOGITS)["logits"].numpy()
    assert np.log(scores / (1 - scores)) == pytest.approx(trained, abs=2e-4)


def test_matches_decide(matched):
    """Without them the same tokens score otherwise."""
    engine = TorchEngine(matched["bundle"])
    tokens = engine.tokenize([("red shoe", "red shoe")])
    without = engine.tokenize([("red shoe", "red shoe")])
    assert tokens.features is not None and without.features is not None
    without.features[:] = 0
    assert not np.allclose(engine.infer(tokens), engine.infer(without))


def test_requests_that_are_scored_together_keep_their_matches(matched, configure):
    engine = TorchEngine(matched["bundle"])
    pairs = load("relevance", source(configure("whole"), "valid")).pairs[:12]

    async def together(executor):
        batches = TokenBatcher(engine.infer, len(engine.manifest.heads), executor, 4096)
        return await asyncio.gather(*[batches.compute(engine.tokenize(part)) for part in (pairs[:5], [], pairs[5:])])

    with ThreadPoolExecutor(1) as executor:
        values = asyncio.run(together(executor))
    assert engine.finish(np.concatenate(values)) == pytest.approx(score(engine, pairs, 4096).values, abs=1e-5)


def test_a_bundle_of_matches_may_rank_in_the_server(matched):
    _, manifest = open_bundle(matched["bundle"])
    # No text of this shop has a number in it.
    assert set(manifest.features.names) == {name for name in MATCH if "numbers" not in name}
    assert resolve(matched["bundle"]).heads == ("relevance",)


def test_one_text_has_nothing_to_match(finetune, monkeypatch):
    def single(task, source):
        found = load(task, source)
        return replace(found, pairs=[(first, "") for first, _ in found.pairs])

    monkeypatch.setattr(scorers, "load", single)
    with pytest.raises(ConfigError, match="relevance reads one"):
        finetune("one-text", "tower.match=true")
