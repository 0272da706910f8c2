"""Which bundles may rank, and what serves where an alias points to one that may not."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from planogram.data.tokenizer import train_tokenizer
from planogram.errors import IntegrityError
from planogram.registry.bundle import MANIFEST, WEIGHTS, BundleManifest, Head, write_bundle
from planogram.registry.store import ModelVersion
from planogram.serve import resolve as module
from planogram.serve.app import build
from planogram.serve.ledger import Ledger
from planogram.serve.probe import ProbeError
from planogram.serve.resolve import check_vocabulary, inspect, is_alias, resolve_served
from planogram.serve.settings import AppArgs


def write(folder, vocab_size=None, heads=("relevance",)):
    manifest = BundleManifest(
        name="tiny",
        heads=tuple(Head(name=head) for head in heads),
        backbone="none",
        text_fields=("title",),
        max_tokens=8,
    )
    tokenizer = train_tokenizer(["red running shoes", "blue desk lamp"], 200)
    with write_bundle(str(folder), manifest) as aside:
        save_file({"w": np.zeros(2, dtype=np.float32)}, aside / WEIGHTS)
        tokenizer.save(str(aside / "tokenizer.json"))
        size = tokenizer.get_vocab_size() if vocab_size is None else vocab_size
        (aside / "config.json").write_text(json.dumps({"vocab_size": size}))
    return str(folder)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """What aliases point to: reference -> folder. A folder's name is its version."""
    places = {"shop-ranker": write(tmp_path / "1")}

    class Registry:
        def resolve(self, reference):
            folder = places[reference]
            digest = hashlib.sha256(Path(folder, MANIFEST).read_bytes()).hexdigest()[:16]
            return ModelVersion("shop-ranker", int(Path(folder).name), folder, digest)

    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "Registry", Registry)
    return places


def published():
    return module.Registry().resolve("shop-ranker")


def damage(folder):
    with open(f"{folder}/{WEIGHTS}", "r+b") as file:  # noqa: PTH123 - one byte in place
        file.seek(-1, 2)
        file.write(b"\x01")


def test_a_bundle_that_was_sealed_anew_is_not_the_one_that_was_published(registry, tmp_path):
    before = published()
    manifest = tmp_path / "1" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"max_tokens": 8', '"max_tokens": 9'))
    with pytest.raises(IntegrityError, match="is not the one that was published"):
        inspect(before, "torch-fp32")


@pytest.mark.parametrize(("size", "fits"), [(None, True), (10_000, True), (5, False), ("x", False)])
def test_a_tokenizer_fits_the_embeddings(tmp_path, size, fits):
    folder = write(tmp_path / "tiny", size)
    if fits:
        check_vocabulary(folder)
        return
    with pytest.raises(IntegrityError, match="but the model has embeddings of"):
        check_vocabulary(folder)


def test_a_server_that_starts_anew_serves_what_served_last(registry, tmp_path):
    Ledger("shop-ranker", "torch-fp32").record_good(published())
    registry["shop-ranker"] = registry["shop-ranker:2"] = write(tmp_path / "2", heads=("relevance", "click"))
    assert resolve_served("shop-ranker", "torch-fp32").version == 2
    damage(registry["shop-ranker"])
    assert resolve_served("shop-ranker", "torch-fp32").version == 1
    for reference, engine in (("shop-ranker", "openvino-int8"), ("shop-ranker:2", "torch-fp32")):
        with pytest.raises(IntegrityError, match=r"2/model.safetensors is damaged"):
            resolve_served(reference, engine)


def test_a_canary_is_a_deployment_of_its_own(registry, tmp_path):
    from ray.serve._private.build_app import build_app

    registry["shop-ranker@candidate"] = write(tmp_path / "2", heads=("relevance", "click"))
    built = build_app(build(with_canary()), name="test")
    assert {deployment.name for deployment in built.deployments} == {"Gateway", "Ranker", "CanaryRanker"}


def test_a_canary_has_the_heads_of_the_ranker(registry, tmp_path):
    registry["shop-ranker@candidate"] = write(tmp_path / "2", heads=("click",))
    with pytest.raises(ProbeError, match="shop-ranker:2 has no head relevance"):
        build(with_canary())


def with_canary():
    canary = {"ranker": "shop-ranker@candidate", "percent": 10}
    return AppArgs.model_validate({"ranker": "shop-ranker", "routes": ["rerank"], "canary": canary})


@pytest.mark.parametrize(
    ("reference", "follows"),
    [("shop-ranker", True), ("shop-ranker@champion", True), ("shop-ranker:3", False), ("/a/b", False), ("", False)],
)
def test_only_an_alias_is_followed(reference, follows):
    assert is_alias(reference) == follows
