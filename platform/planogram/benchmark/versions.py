"""Copies of a bundle as versions of a model: good ones, and such as a disk, a diverged training or a mistake leave."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from planogram import storage
from planogram.data.tokenizer import TOKENIZER_FILE, train_tokenizer
from planogram.registry.bundle import ENGINES, MANIFEST, WEIGHTS, open_bundle, write_bundle
from planogram.registry.store import CHAMPION, ModelVersion, Registry, tracking_uri

MODEL = "shop-ranker"
# Of another language: a tokenizer that knows none of an English shop's words.
FOREIGN = ["κόκκινα παπούτσια για τρέξιμο", "μπλε λάμπα γραφείου", "μάλλινο πουκάμισο"]


def good_version(bundle: str, number: int, change: Callable[[Path], None] | None = None) -> ModelVersion:
    """Publish a copy of a bundle, without its exports.

    Args:
        bundle: its folder.
        number: makes the copy another bundle than those of other numbers.
        change: of the copy's files, before it is sealed.
    """
    folder, manifest = open_bundle(bundle)
    copied = manifest.model_copy(update={"engines": {}, "lineage": {**manifest.lineage, "copy": number}})
    with tempfile.TemporaryDirectory() as place:
        target = storage.join(place, "bundle")
        with write_bundle(target, copied) as aside:
            for path in folder.iterdir():
                if path.name not in (MANIFEST, ENGINES):
                    shutil.copy(path, aside)
            if change:
                change(aside)
        return Registry().publish(target, MODEL, f"copy {number}")


def _flip(bundle: str, number: int) -> ModelVersion:
    version = good_version(bundle, number)
    weights = Path(version.path, WEIGHTS)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return version


def _truncate(bundle: str, number: int) -> ModelVersion:
    version = good_version(bundle, number)
    weights = Path(version.path, WEIGHTS)
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return version


def _diverge(bundle: str, number: int) -> ModelVersion:
    def change(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        save_file({name: np.full_like(tensor, np.nan) for name, tensor in weights.items()}, folder / WEIGHTS)

    return good_version(bundle, number, change)


def _mistake(bundle: str, number: int) -> ModelVersion:
    def change(folder: Path) -> None:
        train_tokenizer(FOREIGN, 200).save(str(folder / TOKENIZER_FILE))

    return good_version(bundle, number, change)


KINDS: dict[str, Callable[[str, int], ModelVersion]] = {
    "good": good_version,
    "flipped bit": _flip,
    "truncated file": _truncate,
    "NaN weights": _diverge,
    "wrong tokenizer": _mistake,
}
CORRUPT = tuple(kind for kind in KINDS if kind != "good")


def version_of(kind: str, bundle: str, number: int) -> ModelVersion:
    """Publish a copy of a bundle, good or corrupt in one of the ways of `KINDS`."""
    return KINDS[kind](bundle, number)


def move_alias(version: ModelVersion) -> None:
    """Let the champion point to a version without a check, as MLflow's own page does."""
    from mlflow import MlflowClient

    uri = tracking_uri()
    MlflowClient(tracking_uri=uri, registry_uri=uri).set_registered_model_alias(
        version.name, CHAMPION, str(version.version)
    )
