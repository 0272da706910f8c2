import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from planogram import storage
from planogram.engines.base import activate, score
from planogram.engines.torch import TorchEngine
from planogram.errors import IntegrityError
from planogram.registry.bundle import MANIFEST, WEIGHTS, BundleManifest, Head

PAIRS = [
    ("red shoes", "red leather shoes | Acme"),
    ("blue lamp", "blue wooden lamp"),
    ("lamp", ""),
    ("red shoes", "green wooden chair " * 20),
    ("", ""),
]


@pytest.fixture(scope="module")
def engine(tiny_bundle) -> TorchEngine:
    return TorchEngine(str(tiny_bundle), device="cpu")


def _reseal(folder: Path) -> None:
    manifest = storage.read_json(str(folder / MANIFEST))
    del manifest["files"]
    (folder / MANIFEST).unlink()
    storage.seal(folder, MANIFEST, manifest)


def _refused(folder: Path, name: str) -> str:
    _reseal(folder)
    with pytest.raises(IntegrityError) as error:
        TorchEngine(str(folder), device="cpu")
    assert name in error.value.given
    return error.value.given


def test_scores_come_in_the_order_of_the_pairs_whatever_the_batches(engine):
    whole = score(engine, PAIRS, 4096)
    assert whole.values.shape == (5, 1)
    assert whole.values.dtype == np.float32
    assert ((whole.values > 0) & (whole.values < 1)).all()
    assert whole.truncated == [False, False, False, True, False]
    assert whole.num_tokens == sum(engine.tokenize(PAIRS).lengths)
    one_by_one = score(engine, PAIRS, 1)
    np.testing.assert_allclose(one_by_one.values, whole.values, atol=1e-5)
    backwards = score(engine, PAIRS[::-1], 4096)
    np.testing.assert_allclose(backwards.values[::-1], whole.values, atol=1e-5)


def test_no_pairs_have_no_scores(engine):
    assert score(engine, [], 64).values.shape == (0, 1)


def test_the_same_bundle_gives_the_same_scores_and_the_model_has_no_dropout(engine, tiny_bundle):
    again = TorchEngine(str(tiny_bundle), device="cpu")
    first = score(engine, PAIRS, 64).values
    assert np.array_equal(first, score(engine, PAIRS, 64).values)
    assert np.array_equal(first, score(again, PAIRS, 64).values)


def test_bfloat16_is_close_and_its_scores_are_float32(engine, tiny_bundle):
    half = TorchEngine(str(tiny_bundle), device="cpu", precision="bf16")
    scores = score(half, PAIRS, 4096).values
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, score(engine, PAIRS, 4096).values, atol=0.05)


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_weights_of_few_bits_rank_alike(engine, tiny_bundle, precision):
    small = TorchEngine(str(tiny_bundle), device="cpu", precision=precision)
    packed = {type(parameter).__name__ for parameter in small.model.backbone.parameters()}
    assert packed & {"Int8Params", "Params4bit"}
    scores = score(small, PAIRS, 4096).values
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, score(engine, PAIRS, 4096).values, atol=0.05)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["first", "last"])
def test_weights_that_are_not_finite_are_refused(bundle, value, where):
    weights = load_file(bundle / WEIGHTS)
    name = sorted(weights)[0 if where == "first" else -1]
    weights[name].view(-1)[-1] = value
    save_file(weights, bundle / WEIGHTS)
    assert name in _refused(bundle, "not finite")


def test_weights_of_another_model_are_refused(bundle):
    weights = load_file(bundle / WEIGHTS)
    dropped = weights.pop("heads.weight")
    save_file(weights, bundle / WEIGHTS)
    assert "heads.weight" in _refused(bundle, WEIGHTS)
    save_file(weights | {"heads.weight": dropped[:, :-1].contiguous()}, bundle / WEIGHTS)
    assert "heads.weight" in _refused(bundle, WEIGHTS)
    save_file(weights | {"heads.weight": dropped, "more": torch.zeros(1)}, bundle / WEIGHTS)
    assert "more" in _refused(bundle, WEIGHTS)


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_a_huge_header_is_refused(bundle, length):
    content = (bundle / WEIGHTS).read_bytes()
    (bundle / WEIGHTS).write_bytes(struct.pack("<Q", length) + content[8:])
    _refused(bundle, WEIGHTS)


@pytest.mark.parametrize("shape", [[1 << 40], [-1], [1 << 62, 1 << 62]])
def test_a_header_that_lies_about_a_tensor_is_refused(bundle, shape):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    (bundle / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    _refused(bundle, WEIGHTS)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\0" * 64, b"not weights at all"])
def test_what_is_no_safetensors_is_refused(bundle, content):
    (bundle / WEIGHTS).write_bytes(content)
    _refused(bundle, WEIGHTS)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"model_type": "no-such-model"}', '{"model_type": "bert", "hidden_size": "x"}']
)
def test_an_architecture_that_is_none_is_refused(bundle, content):
    (bundle / "config.json").write_text(content)
    _refused(bundle, "config.json")


@pytest.mark.parametrize("model_type", ["bert", "no-such-model"])
def test_code_of_a_bundle_is_never_run(bundle, tmp_path, model_type):
    """Hugging Face would import the module that `auto_map` names if it were trusted, or ask at the terminal."""
    marker = tmp_path / "executed"
    config = json.loads((bundle / "config.json").read_text())
    config |= {"model_type": model_type, "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (bundle / "config.json").write_text(json.dumps(config))
    code = bundle.parent / "evil.py"
    code.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    _reseal(bundle)
    if model_type == "bert":
        assert TorchEngine(str(bundle), device="cpu").manifest.name == "tiny"
    else:
        _refused(bundle, "config.json")
    shutil.copy(code, bundle / "evil.py")
    _refused(bundle, "evil.py")
    assert not marker.exists()


def test_a_tokenizer_that_is_none_is_refused(bundle):
    (bundle / "tokenizer.json").write_text("{}")
    _refused(bundle, "tokenizer.json")


def test_activation_is_exact_and_does_not_overflow():
    manifest = BundleManifest(
        name="two",
        heads=(Head(name="relevance"), Head(name="price", activation="identity")),
        backbone="none",
        pooling="cls",
        text_fields=("title",),
        max_tokens=8,
    )
    logits = np.array([-1e4, -100, -20, -1, 0, 1, 20, 100, 1e4], dtype=np.float32)
    given = np.stack([logits, logits], axis=1)
    before = given.copy()
    with np.errstate(over="raise", invalid="raise"):
        scores = activate(manifest, given)
    expected = torch.from_numpy(logits).double().sigmoid().numpy()
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-5, atol=1e-38)
    assert np.array_equal(scores[:, 1], logits)
    assert np.array_equal(given, before)
    assert scores.dtype == np.float32
