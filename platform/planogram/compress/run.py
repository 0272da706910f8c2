"""`planogram compress`: a bundle with exports beside its weights, and the proof that they rank as it does."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planogram import storage
from planogram.compress.export import to_openvino
from planogram.compress.kinds import Kind, kind_of
from planogram.compress.parity import faults, measure
from planogram.compress.quantize import sample, single_batches, to_int8
from planogram.compress.recover import digest_of, examples_of, smaller, trimmed
from planogram.compress.sensitivity import layer_errors, least_smoothing_error, most_sensitive
from planogram.config import EXPORTS, CompressConfig, ToleranceConfig
from planogram.data.examples import Examples
from planogram.engines.openvino import MODEL, can_run
from planogram.errors import StorageError
from planogram.registry.bundle import ENGINES, MANIFEST, BundleManifest, Parity, open_bundle, write_bundle
from planogram.registry.store import ModelVersion, Registry

if TYPE_CHECKING:
    import openvino

DRAFT = "bundle"
MEASURED = ("smoothing", "smoothing_errors", "layer_errors")
# A graph in float32 differs from torch in the order of its sums alone; other engines round.
EXACT_ENGINE = "openvino-fp32"
EXACT = ToleranceConfig(max_difference=1e-4, mean_difference=1e-5, kendall_tau=0.999, ndcg_loss=1e-3)


def run(config: CompressConfig) -> dict[str, Any]:
    """Export a bundle's model, compare every export with it, and write both as a new bundle.

    Returns:
        `bundle` (folder), `kind`, `reference` (what was compressed), `engines` (name -> parity, with `faults` where the
        export may not be published), `pairs` (how many were compared); and for int8 `smoothing` (that was chosen),
        `smoothing_errors` (smoothing -> mean squared change of the outputs) and `layer_errors` (encoder layer -> the
        same, where `quantize.float_layers` asked for it).

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle is no cross-encoder or bi-encoder, or cannot be pruned.
        StorageError: something is at `out` already.
    """
    version = Registry().resolve(config.bundle)
    whole = open_bundle(version.path)[1]
    out = config.out or _place(config, version, whole)
    if storage.exists(out):
        raise StorageError(f"{out} is already there", remedy="set another `out`, or remove it first")
    path = smaller(config, version) if config.prune else version.path
    with tempfile.TemporaryDirectory(prefix="planogram-") as aside:
        made, pairs = _made(config, version, path, Path(aside))
        with write_bundle(out, made) as target:
            _copy(Path(aside, DRAFT), target, MANIFEST)
    found = {name: parity.model_dump(mode="json", exclude={"subject"}) for name, parity in made.engines.items()}
    return {
        "bundle": out,
        "kind": "demand model" if made.demand else made.kind,
        "reference": version.reference if version.version else version.path,
        "engines": found,
        "pairs": pairs,
        **{name: value for name, value in made.lineage["compressed"].items() if name in MEASURED},
    }


def _made(config: CompressConfig, version: ModelVersion, path: str, aside: Path) -> tuple[BundleManifest, int]:
    """Write a draft with all exports below `aside`, and compare them.

    Returns:
        The manifest of what is wanted, and how many pairs were compared.
    """
    small = trimmed(config, path, str(aside / "trimmed")) if config.vocabulary == "shop" else path
    folder, manifest = open_bundle(small)
    kind = kind_of(small)
    held_out = whole_lists(examples_of(kind.task, manifest, config, "test"), config.pairs)
    with write_bundle(str(aside / DRAFT), manifest.model_copy(update={"engines": {}})) as target:
        _copy(folder, target, MANIFEST, ENGINES)
        measured = _export(config, kind, manifest, target)
    parities = _compare(config, kind, (path, str(aside / DRAFT)), held_out)
    compressed = {"from": version.digest, "config": config.model_dump(mode="json")} | measured
    lineage = manifest.lineage | {"compressed": compressed}
    return manifest.model_copy(update={"engines": parities, "lineage": lineage}), len(held_out)


def _place(config: CompressConfig, version: ModelVersion, manifest: BundleManifest) -> str:
    return storage.join(storage.home(), "compressed", f"{manifest.name[:40]}-{digest_of(config, version)}")


def whole_lists(examples: Examples, count: int) -> Examples:
    """Examples of the first lists, until there are `count`; lists are in the order of the shop."""
    numbers, sizes = np.unique(examples.groups, return_counts=True)
    kept = numbers[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    return examples.take(np.flatnonzero(np.isin(examples.groups, kept)))


def _export(config: CompressConfig, kind: Kind, manifest: BundleManifest, target: Path) -> dict[str, Any]:
    """Write the graphs below `engines/`; returns what was measured for int8."""
    import openvino

    graph = to_openvino(kind.model, kind.columns)
    measured: dict[str, Any] = {}
    for name in config.engines:
        made = graph
        if name == "openvino-int8":
            made, measured = _quantized(graph, config, kind, manifest)
        place = target / ENGINES / name
        place.mkdir(parents=True)
        openvino.save_model(made, place / MODEL, compress_to_fp16=False)
    return measured


def _quantized(
    graph: "openvino.Model", config: CompressConfig, kind: Kind, manifest: BundleManifest
) -> "tuple[openvino.Model, dict[str, Any]]":
    """The graph in int8, and what was measured to make it."""
    training = examples_of(kind.task, manifest, config, "train")
    few = training.take(sample(len(training), config.quantize.calibration_pairs))
    batches = single_batches(kind.tokenize(few), manifest.pad_id)
    full_range, count = config.quantize.full_range, config.quantize.float_layers
    smoothing, tried = least_smoothing_error(graph, batches, config.quantize)
    errors: dict[int, float] = {}
    if count:
        layers = kind.model.backbone.config.num_hidden_layers
        errors = layer_errors(graph, batches, smoothing, layers, full_range=full_range)
    made = to_int8(graph, batches, smoothing, full_range=full_range, float_layers=most_sensitive(errors, count))
    measured = {
        "smoothing": smoothing,
        "smoothing_errors": {str(value): error for value, error in tried.items()},
        "layer_errors": {str(layer): error for layer, error in errors.items()},
    }
    return made, measured


def _compare(config: CompressConfig, kind: Kind, paths: tuple[str, str], examples: Examples) -> dict[str, Parity]:
    """The parity of every engine that this machine runs of the draft, which is loaded and run as any bundle is.

    Args:
        config: engines and tolerances.
        kind: of the model.
        paths: the bundle as it was trained, and the draft.
        examples: held out.
    """
    trained, draft = paths
    _, manifest = open_bundle(draft)
    reference = kind.scores(trained, "torch-fp32", examples, config.batch_tokens)
    found: dict[str, Parity] = {}
    for name in (name for name, export in EXPORTS.items() if export in config.engines and can_run(name)):
        parity = measure(reference, kind.scores(draft, name, examples, config.batch_tokens), examples)
        beyond = faults(parity, EXACT if name == EXACT_ENGINE else config.tolerance)
        found[name] = parity.model_copy(update={"faults": beyond, "subject": manifest.subject(name)})
    return found


def _copy(source: Path, target: Path, *left_out: str) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*left_out))
