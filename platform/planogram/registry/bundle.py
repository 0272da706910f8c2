"""The bundle: what a training stage hands to evaluation and serving. A sealed folder, without pickle.

bundle.json         the manifest, with the sha256 of every other file
model.safetensors   weights of backbone and heads, float32
config.json         architecture of the backbone (Hugging Face)
tokenizer.json      the tokenizer
baseline.json       of a demand model: what each product is expected to cost and to sell
engines/NAME/       exports of the whole model, each with its parity in the manifest
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from planogram import storage
from planogram.config import EXPORTS, AdapterConfig, Pooling
from planogram.data.features import FeatureSpec
from planogram.data.text import TEXT_VERSION
from planogram.errors import ConfigError, IntegrityError, ParityError
from planogram.section import Names, Section, parse

MANIFEST = "bundle.json"
WEIGHTS = "model.safetensors"
BASELINE = "baseline.json"
ENGINES = "engines"
# What a bundle may hold; .bin and .xml are OpenVINO's, and only below engines/.
ALLOWED_SUFFIXES = (".json", ".safetensors", ".txt")
ENGINE_SUFFIXES = (".xml", ".bin", ".json")
# The opcode of pickle protocols 2 to 5, and the zip file that torch.save writes.
PICKLE_STARTS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
ZIP_START = b"PK\x03\x04"


class Calibration(Section):
    """Makes a score a probability; rising, so that it never changes an order of scores.

    Attributes:
        scale, shift: of the logit, before the sigmoid (Platt 1999; Guo et al. 2017 with the scale alone).
        knots, values: piecewise linear map of the score, both rising (isotonic regression, Zadrozny & Elkan 2002).
    """

    scale: float = 1.0
    shift: float = 0.0
    knots: tuple[float, ...] = Field((), strict=False)
    values: tuple[float, ...] = Field((), strict=False)


class Head(Section):
    """One output of the model.

    Attributes:
        name: the task.
        activation: turns the logit into the score, in float32.
        calibration: applied with the activation.
        low, high: the grades that scores 0 and 1 stand for.
        grades: the grades that occur, rising; empty: a continuous scale.
        cutoffs: rising scores between neighbouring grades, fitted on the validation split; one fewer than grades.
    """

    name: str
    activation: Literal["sigmoid", "identity"] = "sigmoid"
    calibration: Calibration = Calibration()
    low: float = 0.0
    high: float = 1.0
    grades: tuple[float, ...] = Field((), strict=False)
    cutoffs: tuple[float, ...] = Field((), strict=False)


class AdapterRef(Section):
    """Weights that only make sense on their base.

    Attributes:
        config: the method and its sizes.
        base: name of the backbone, as `backbone.name` takes it.
        base_digest: sha256 of its weights; another base is refused.
    """

    config: AdapterConfig
    base: str
    base_digest: str


class DemandRef(Section):
    """What the heads of a demand model say.

    The log of units per period (`units`), the logit of a purchase per impression (`purchase`) or the utility of an
    alternative (`choice`) is offset + level - exp(log_elasticity) * log(price / reference price).

    Attributes:
        kind: of the outcome.
        members: pairs of heads, level and log elasticity in turn, whose spread is the uncertainty.
    """

    kind: Literal["units", "purchase", "choice"]
    members: int = Field(..., ge=1)


class Parity(Section):
    """How far an engine's scores of the first head are from the trained model's on held-out pairs.

    Attributes:
        pairs: how many.
        max_difference, mean_difference: of scores.
        kendall_tau: tau-b, the mean over lists.
        top_overlap: share of the trained model's best ten that are the engine's, the mean over lists.
        ndcg: NDCG@10 of the engine; None where nothing is ranked.
        ndcg_change: against the trained model.
        ndcg_interval: 95 % bootstrap interval of the change.
        faults: what is beyond its tolerance; such an engine is not served, and a bundle with such an export is not
            published.
        subject: sha256 of all that scores depend on, when this was measured.
    """

    pairs: int
    max_difference: float
    mean_difference: float
    kendall_tau: float
    top_overlap: float
    ndcg: float | None = None
    ndcg_change: float | None = None
    ndcg_interval: Annotated[tuple[float, float], Field(strict=False)] | None = None
    faults: tuple[str, ...] = Field((), strict=False)
    subject: str = ""


class BundleManifest(Section):
    """What `bundle.json` says. `files` is path -> {bytes, sha256}."""

    format_version: Literal[1] = 1
    name: str
    kind: Literal["cross-encoder", "bi-encoder", "language-model", "sequence"] = "cross-encoder"
    heads: tuple[Head, ...] = Field((), strict=False)
    backbone: str
    pooling: Pooling = "mean"
    text_version: str = TEXT_VERSION
    text_fields: Names
    text_language: Literal["en", "zh"] = "en"
    text_season: bool = False
    max_tokens: int
    truncation: Literal["longest_first"] = "longest_first"
    pad_id: int = 0
    features: FeatureSpec = FeatureSpec()
    tower_size: int = 0
    tower_crosses: int = 0
    adapter: AdapterRef | None = None
    demand: DemandRef | None = None
    engines: dict[str, Parity] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, dict[str, int | str]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_scorer_has_heads(self) -> "BundleManifest":
        if self.kind == "cross-encoder" and not self.heads:
            raise ValueError("heads is empty: a cross-encoder has at least one")
        return self

    @property
    def digest(self) -> str:
        """Identifies the content: the sha256 of the weights, 16 characters."""
        return str(self.files[WEIGHTS]["sha256"])[:16] if WEIGHTS in self.files else ""

    def subject(self, engine: str) -> str:
        """The sha256 of all that an engine's scores depend on: its files, the tokenizer, and how texts are read."""
        own = f"{ENGINES}/{_export_of(engine)}/"
        files = {name: entry for name, entry in self.files.items() if "/" not in name or name.startswith(own)}
        read = self.model_dump(mode="json", exclude={"engines", "files", "lineage", "metrics", "name"})
        return hashlib.sha256(json.dumps([files, read], sort_keys=True).encode()).hexdigest()


def check_engines(manifest: BundleManifest) -> None:
    """Refuse a bundle whose exports do not rank as its trained model does, or were changed since that was measured.

    Raises:
        ParityError: names the engine and what is wrong.
    """
    exported = {name.split("/")[1] for name in manifest.files if name.startswith(f"{ENGINES}/")}
    # Another precision of an export is checked where it is served: the export itself may be sound.
    compared = {engine for engine in manifest.engines if _export_of(engine) == engine}
    for engine in sorted(exported | compared):
        check_parity(manifest, engine)


def check_parity(manifest: BundleManifest, engine: str) -> None:
    """Refuse an engine that does not rank as the trained model does, or was changed since that was measured.

    Raises:
        ParityError: names the engine and what is wrong.
    """
    parity = manifest.engines.get(engine)
    if parity is None:
        reasons: tuple[str, ...] = ("it was never compared with the trained model",)
    elif parity.subject != manifest.subject(engine):
        reasons = ("it is not what was compared with the trained model",)
    else:
        reasons = parity.faults
    if reasons:
        raise ParityError(
            f"{manifest.name}: the engine {engine} may not be used: {'; '.join(reasons)}",
            remedy="export the bundle anew with `planogram compress`, or use another engine",
        )


def _export_of(engine: str) -> str:
    return next((export for name, export in EXPORTS.items() if name == engine), engine)


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
        allowed = ENGINE_SUFFIXES if relative.parts[0] == ENGINES else ALLOWED_SUFFIXES
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
