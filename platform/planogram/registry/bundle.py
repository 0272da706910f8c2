"""The bundle: what a training stage hands to evaluation and serving. A sealed folder, without pickle.

bundle.json         the manifest, with the sha256 of every other file
model.safetensors   weights of backbone and heads, float32
config.json         architecture of the backbone (Hugging Face)
tokenizer.json      the tokenizer
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from planogram import storage
from planogram.config import Names, Section, parse
from planogram.data.text import TEXT_VERSION
from planogram.errors import ConfigError, IntegrityError

MANIFEST = "bundle.json"
WEIGHTS = "model.safetensors"
# What a bundle may hold; .bin and .xml are OpenVINO's, and only below engines/.
ALLOWED_SUFFIXES = (".json", ".safetensors", ".txt")
ENGINE_SUFFIXES = (".xml", ".bin", ".json")
# The opcode of pickle protocols 2 to 5, and the zip file that torch.save writes.
PICKLE_STARTS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
ZIP_START = b"PK\x03\x04"


class Head(Section):
    """One output of the model.

    Attributes:
        activation: turns the logit into the score, in float32.
        low, high: the grades that scores 0 and 1 stand for.
        grades: the grades that occur, rising; empty: a continuous scale.
        cutoffs: rising scores between neighbouring grades, fitted on the validation split; one fewer than grades.
    """

    name: str
    activation: Literal["sigmoid", "identity"] = "sigmoid"
    low: float = 0.0
    high: float = 1.0
    grades: tuple[float, ...] = Field((), strict=False)
    cutoffs: tuple[float, ...] = Field((), strict=False)


class BundleManifest(Section):
    """What `bundle.json` says. `files` is path -> {bytes, sha256}."""

    format_version: Literal[1] = 1
    name: str
    kind: Literal["cross-encoder"] = "cross-encoder"
    heads: tuple[Head, ...] = Field(..., strict=False, min_length=1)
    backbone: str
    pooling: Literal["cls", "mean", "pair"]
    text_version: str = TEXT_VERSION
    text_fields: Names
    max_tokens: int
    truncation: Literal["longest_first"] = "longest_first"
    pad_id: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, dict[str, int | str]] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Identifies the content: the sha256 of the weights, 16 characters."""
        return str(self.files[WEIGHTS]["sha256"])[:16] if WEIGHTS in self.files else ""


@contextmanager
def write_bundle(uri: str, manifest: BundleManifest) -> Iterator[Path]:
    """Build a bundle: yields a folder for weights, architecture and tokenizer, then seals and publishes it.

    Raises:
        StorageError: something is already at `uri`.
        IntegrityError: the folder holds a file that no bundle may hold.
    """
    with storage.sealed_folder(uri, MANIFEST) as (folder, payload):
        yield folder
        _check_files(folder)
        payload.update(manifest.model_dump(mode="json", exclude={"files"}))


def open_bundle(uri: str) -> tuple[Path, BundleManifest]:
    """Verify a bundle and read its manifest; a bundle on an object store is fetched first.

    Returns:
        The local folder and the manifest.

    Raises:
        NotFoundError: there is no bundle.
        IntegrityError: a file is missing, changed, unlisted, a pickle, or of a kind that no bundle holds; or the
            manifest is of another format or text version. The message names the file.
    """
    folder = storage.fetch(uri, MANIFEST)
    _check_files(folder)
    try:
        manifest = parse(BundleManifest, storage.read_json(str(folder / MANIFEST)), str(folder / MANIFEST))
    except ConfigError as error:
        raise IntegrityError(error.given, remedy="use the version of planogram that made the bundle") from None
    if manifest.text_version != TEXT_VERSION:
        raise IntegrityError(
            f"{folder}: text template {manifest.text_version}",
            allowed=TEXT_VERSION,
            remedy="train the bundle anew, or serve it with the version of planogram that made it",
        )
    return folder, manifest


def _check_files(folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder)
        allowed = ENGINE_SUFFIXES if relative.parts[0] == "engines" else ALLOWED_SUFFIXES
        if _is_pickle(path):
            raise IntegrityError(f"{path} is a pickle", allowed="safetensors", remedy="never load it: it can run code")
        if path.suffix not in allowed:
            raise IntegrityError(f"{path} does not belong in a bundle", allowed=", ".join(allowed), remedy="remove it")


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors" and start[8:] == b"{":
        # The length of a JSON header stands first, and its bytes may happen to be those of a pickle.
        return False
    return start.startswith((*PICKLE_STARTS, ZIP_START))
