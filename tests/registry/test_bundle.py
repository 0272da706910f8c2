import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from planogram import storage
from planogram.errors import IntegrityError, NotFoundError, StorageError
from planogram.registry.bundle import MANIFEST, WEIGHTS, BundleManifest, Head, open_bundle, write_bundle

FILES = (WEIGHTS, "config.json", "tokenizer.json")


class Evil:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def _pickles(marker: Path) -> dict[str, bytes]:
    made = {f"protocol {protocol}": pickle.dumps(Evil(marker), protocol) for protocol in range(2, 6)}
    for name, new in (("torch zip", True), ("torch legacy", False)):
        buffer = io.BytesIO()
        torch.save({"weights": Evil(marker)}, buffer, _use_new_zipfile_serialization=new)
        made[name] = buffer.getvalue()
    return made


PICKLES = ("protocol 2", "protocol 3", "protocol 4", "protocol 5", "torch zip", "torch legacy")


def _reseal(folder: Path, **changes) -> None:
    """List the folder's files anew, as whoever made the bundle could."""
    manifest = {**storage.read_json(str(folder / MANIFEST)), **changes}
    del manifest["files"]
    (folder / MANIFEST).unlink()
    storage.seal(folder, MANIFEST, manifest)


def _manifest(**changes) -> BundleManifest:
    values = {
        "name": "made",
        "heads": (Head(name="relevance"),),
        "backbone": "scratch",
        "pooling": "cls",
        "text_fields": ("title",),
        "max_tokens": 16,
    }
    return BundleManifest(**(values | changes))


def _refused(folder: Path, name: str) -> str:
    with pytest.raises(IntegrityError) as error:
        open_bundle(str(folder))
    assert name in error.value.given
    return error.value.given


def test_what_is_written_is_read(bundle):
    folder, manifest = open_bundle(str(bundle))
    assert folder == bundle
    assert manifest.name == "tiny"
    assert manifest.heads[0].cutoffs == (0.2, 0.5, 0.8)
    assert manifest.text_fields == ("title", "brand")
    assert set(FILES) <= set(manifest.files)
    assert manifest.digest == storage.sha256_file(bundle / WEIGHTS)[:16]


def test_there_is_no_bundle(tmp_path):
    with pytest.raises(NotFoundError, match="absent"):
        open_bundle(str(tmp_path / "absent"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_one_flipped_bit_is_refused(bundle, name, share):
    content = bytearray((bundle / name).read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x10
    (bundle / name).write_bytes(content)
    _refused(bundle, name)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_refused(bundle, name):
    (bundle / name).unlink()
    _refused(bundle, name)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: len(content) // 2])
    _refused(bundle, name)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    "name", ["weights.pkl", "pytorch_model.bin", "extra.safetensors", "extra.json", "extra.txt", "deep/extra.json",
             "engines/extra.bin", "engines/extra.json"]
)  # fmt: skip
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_refused_and_not_executed(bundle, tmp_path, kind, name, listed):
    marker = tmp_path / "executed"
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(_pickles(marker)[kind])
    if listed:
        _reseal(bundle)
    given = _refused(bundle, name)
    assert not listed or "pickle" in given
    assert not marker.exists()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_in_place_of_a_file_is_refused_and_not_executed(bundle, tmp_path, kind, name):
    marker = tmp_path / "executed"
    (bundle / name).write_bytes(_pickles(marker)[kind])
    _reseal(bundle)
    assert "pickle" in _refused(bundle, name)
    assert not marker.exists()


def test_the_pickles_of_these_tests_do_execute(tmp_path):
    for number, (kind, content) in enumerate(_pickles(tmp_path / "executed").items()):
        if kind.startswith("protocol"):
            pickle.loads(content)
        else:
            torch.load(io.BytesIO(content), weights_only=False)
        (tmp_path / "executed").rename(tmp_path / str(number))


@pytest.mark.parametrize("name", ["model.py", "weights.npy", "model.pt", "Makefile", "engines/model.safetensors.py"])
def test_what_no_bundle_holds_is_refused(bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("import os")
    _reseal(bundle)
    assert "does not belong" in _refused(bundle, name)


def test_an_engine_may_bring_its_own_files(bundle):
    (bundle / "engines" / "openvino").mkdir(parents=True)
    (bundle / "engines" / "openvino" / "model.xml").write_text("<net/>")
    (bundle / "engines" / "openvino" / "model.bin").write_bytes(b"\0" * 8)
    _reseal(bundle)
    assert open_bundle(str(bundle))[1].name == "tiny"


@pytest.mark.parametrize("header_bytes", [0x0280, 0x0380, 0x0480, 0x0580, 0x10280])
def test_weights_are_no_pickle_whatever_the_length_of_their_header(bundle, header_bytes):
    """A safetensors file starts with the length of its header, whose bytes may be those of a pickle."""
    filler = {"filler": ""}
    shortest = struct.unpack("<Q", save({"a": torch.zeros(1)}, filler)[:8])[0]
    filler["filler"] = "x" * (header_bytes - shortest)
    save_file({"a": torch.zeros(1)}, bundle / WEIGHTS, filler)
    assert struct.unpack("<Q", (bundle / WEIGHTS).read_bytes()[:8])[0] == header_bytes
    _reseal(bundle)
    assert open_bundle(str(bundle))[1].name == "tiny"


@pytest.mark.parametrize(
    ("key", "value"), [("format_version", 2), ("kind", "generator"), ("heads", []), ("max_tokens", "32"), ("extra", 1)]
)
def test_a_manifest_of_another_format_is_refused(bundle, key, value):
    _reseal(bundle, **{key: value})
    with pytest.raises(IntegrityError, match=MANIFEST) as error:
        open_bundle(str(bundle))
    assert key in str(error.value)


def test_another_text_version_is_refused(bundle):
    _reseal(bundle, text_version="0")
    assert "text template 0" in _refused(bundle, "bundle")


def test_a_bundle_is_not_overwritten(bundle):
    with pytest.raises(StorageError, match="already there"), write_bundle(str(bundle), _manifest()):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("name", ["weights.pkl", "weights.json"])
def test_a_pickle_is_not_written_either(tmp_path, name):
    with (
        pytest.raises(IntegrityError, match=name),
        write_bundle(str(tmp_path / "made"), _manifest()) as folder,
    ):
        (folder / name).write_bytes(pickle.dumps([1]))
    assert not (tmp_path / "made").exists()


def test_a_zip_is_not_written_either(tmp_path):
    with (
        pytest.raises(IntegrityError, match=r"a\.json"),
        write_bundle(str(tmp_path / "made"), _manifest()) as folder,
        zipfile.ZipFile(folder / "a.json", "w") as archive,
    ):
        archive.writestr("a", "a")
