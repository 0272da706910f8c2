"""Exports that were made, are run or were changed wrongly: the gate sees each."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from planogram import storage
from planogram.compress import run as compress
from planogram.config import CompressConfig, SplitConfig
from planogram.data.tokenizer import PairTokenizer
from planogram.engines import openvino
from planogram.engines.base import activate
from planogram.errors import PlanogramError
from planogram.registry.bundle import ENGINES, MANIFEST
from planogram.registry.store import CHAMPION, Registry

EXPORT = "openvino-fp32"
PROMOTIONS = 50


def truncated_too_early(monkeypatch):
    class Shorter(PairTokenizer):
        def __init__(self, tokenizer, max_tokens):
            super().__init__(tokenizer, 6)

    monkeypatch.setattr(openvino, "PairTokenizer", Shorter)


def without_token_types(monkeypatch):
    export = compress.to_openvino

    def dropped(model, columns):
        forward = model.forward
        model.forward = lambda ids, mask, types, *rest: forward(ids, mask, torch.zeros_like(types), *rest)
        return export(model, columns)

    monkeypatch.setattr(compress, "to_openvino", dropped)


def sigmoid_in_half_precision(monkeypatch):
    def finish(engine, logits):
        return activate(engine.manifest, logits).astype(np.float16).astype(np.float32)

    monkeypatch.setattr(openvino.OpenVinoEngine, "finish", finish)


IN_MAKING = (truncated_too_early, without_token_types, sigmoid_in_half_precision)


def with_a_changed_byte(folder: Path, good: list[Path], generator: np.random.Generator) -> None:
    """Of the weights: the files do not verify."""
    path = folder / ENGINES / EXPORT / "model.bin"
    content = bytearray(path.read_bytes())
    content[int(generator.integers(len(content)))] ^= 0x40
    path.write_bytes(content)


def with_the_export_of_another_model(folder: Path, good: list[Path], generator: np.random.Generator) -> None:
    """And sealed anew, so that the files verify."""
    other = good[1] if (good[0] / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes() else good[0]
    shutil.copytree(other / ENGINES, folder / ENGINES, dirs_exist_ok=True)
    _reseal(folder)


def reading_fewer_tokens(folder: Path, good: list[Path], generator: np.random.Generator) -> None:
    """Than when it was compared."""
    _reseal(folder, max_tokens=int(generator.integers(4, 32)))


def with_an_export_that_nobody_compared(folder: Path, good: list[Path], generator: np.random.Generator) -> None:
    """It has no parity."""
    _reseal(folder, engines={})


AFTERWARDS = {
    fault.__name__: fault
    for fault in (
        with_a_changed_byte,
        with_the_export_of_another_model,
        reading_fewer_tokens,
        with_an_export_that_nobody_compared,
    )
}
REASONS = {
    **{fault.__name__: "a score is off by" for fault in IN_MAKING},
    "with_a_changed_byte": "model.bin",
    "with_the_export_of_another_model": "not what was compared",
    "reading_fewer_tokens": "not what was compared",
    "with_an_export_that_nobody_compared": "never compared",
}


def _reseal(folder: Path, **changes) -> None:
    """As whoever has the bundle could."""
    manifest = {**storage.read_json(str(folder / MANIFEST)), **changes}
    del manifest["files"]
    (folder / MANIFEST).unlink()
    storage.seal(folder, MANIFEST, manifest)


def _compressed(bundle: Path, shop: str, out: Path) -> Path:
    config = CompressConfig(
        bundle=str(bundle), shop=shop, out=str(out), split=SplitConfig(by="query"), engines=(EXPORT,)
    )
    return Path(compress.run(config)["bundle"])


def _other_model(bundle: Path, out: Path) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(bundle, out)
    weights = load_file(out / "model.safetensors")
    save_file({name: tensor * 1.1 for name, tensor in weights.items()}, out / "model.safetensors")
    _reseal(out)
    return out


@pytest.fixture(scope="module")
def exports(tiny_bundle, tiny_shop, tmp_path_factory) -> tuple[list[Path], dict[str, Path]]:
    """Two good bundles, and one for each fault that happens while an export is made or run."""
    folder = tmp_path_factory.mktemp("exports")
    models = [tiny_bundle, _other_model(tiny_bundle, folder / "other")]
    good = [_compressed(model, tiny_shop, folder / f"good-{number}") for number, model in enumerate(models)]
    wrong = {}
    for fault in IN_MAKING:
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            wrong[fault.__name__] = _compressed(tiny_bundle, tiny_shop, folder / fault.__name__)
    return good, wrong


def test_of_fifty_promotions_every_sabotaged_one_is_refused_with_its_reason(exports, home, tmp_path):
    good, wrong = exports
    registry, generator = Registry(), np.random.default_rng(0)
    first = registry.publish(str(good[0]), "tiny", "good")
    champion = registry.promote(first.reference, CHAMPION, "good").digest
    kinds = ["good", *wrong, *AFTERWARDS]
    for number in range(PROMOTIONS):
        kind = kinds[number % len(kinds)]
        candidate = tmp_path / f"candidate-{number}"
        shutil.copytree(wrong.get(kind, good[int(generator.integers(2))]), candidate)
        if kind in AFTERWARDS:
            AFTERWARDS[kind](candidate, good, generator)
        if kind == "good":
            version = registry.publish(str(candidate), "tiny", kind)
            champion = registry.promote(version.reference, CHAMPION, kind).digest
        else:
            with pytest.raises(PlanogramError, match=REASONS[kind]):
                registry.publish(str(candidate), "tiny", kind)
        assert registry.resolve("tiny").digest == champion


def test_an_export_that_is_damaged_after_it_was_published_is_not_promoted(exports, home):
    registry = Registry()
    version = registry.publish(str(exports[0][0]), "tiny-damaged", "good")
    with_a_changed_byte(Path(version.path), [], np.random.default_rng(0))
    with pytest.raises(PlanogramError, match=r"model\.bin"):
        registry.promote(version.reference, CHAMPION, "damaged")


@pytest.mark.parametrize("fault", IN_MAKING)
def test_what_a_wrong_export_does_wrongly_stands_in_its_bundle(fault, exports):
    parity = storage.read_json(str(exports[1][fault.__name__] / MANIFEST))["engines"][EXPORT]
    assert any("off by" in sentence for sentence in parity["faults"])
