"""`planogram models report`: one page about a bundle, for people who decide."""

import tempfile
from typing import Any

from planogram import storage
from planogram.benchmark.kept import FOLDER
from planogram.card import origin, quality
from planogram.card.html import page
from planogram.config import EvaluateConfig, SliceName
from planogram.evaluate import offline
from planogram.registry.bundle import open_bundle
from planogram.registry.store import CHAMPION, ModelVersion, Registry

SLICES: tuple[SliceName, ...] = ("category", "price", "traffic", "new", "locale", "length")
ROBUSTNESS = 100


def run(config: EvaluateConfig, out: str) -> dict[str, Any]:
    """Evaluate a bundle and write its report.

    Args:
        config: what is measured; see `asked`.
        out: the HTML file.

    Returns:
        What `offline.run` returns, and `report`, where it stands.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle is no cross-encoder, or cannot be measured as asked.
    """
    version = Registry().resolve(config.bundle)
    with tempfile.TemporaryDirectory(prefix="planogram-") as aside:
        result = offline.run(config.model_copy(update={"out": config.out or aside}))
        files = result.pop("files")
        pictures = {name: storage.read_bytes(file) for name, file in files.items() if file.endswith(".png")}
    storage.write_bytes(out, _page(version, result, pictures))
    return result | ({"files": files} if config.out else {}) | {"report": out}


def asked(config: EvaluateConfig, given: set[str]) -> EvaluateConfig:
    """The configuration with all that a report shows, where it does not say otherwise.

    Args:
        config: as it was given.
        given: its keys that were: these stay as they are.
    """
    defaults = {"slices": SLICES, "robustness": ROBUSTNESS, "compare": _champion(config.bundle)}
    return config.model_copy(update={name: value for name, value in defaults.items() if name not in given})


def _champion(reference: str) -> str | None:
    """The champion of the same name, where the bundle is another version."""
    version = Registry().resolve(reference)
    if not version.version:
        return None
    champion = Registry().pointed_to(version.name, CHAMPION)
    return champion.reference if champion and champion.version != version.version else None


def _page(version: ModelVersion, result: dict[str, Any], pictures: dict[str, bytes]) -> bytes:
    _, manifest = open_bundle(version.path)
    moves = Registry().history(version.name) if version.version else []
    sections = [
        quality.headline(result),
        origin.about(version, manifest),
        quality.metrics(result),
        quality.slices(result, pictures),
        quality.examples(result, pictures),
        quality.calibration(result, pictures),
        quality.robustness(result),
        quality.exposure(result),
        origin.parity(manifest),
        origin.pareto(_pareto(version)),
        origin.lineage(manifest),
        origin.history(moves, version.version),
    ]
    title = version.reference if version.version else manifest.name
    return page(f"{title}: how good it is", [each for each in sections if each])


def _pareto(version: ModelVersion) -> bytes | None:
    """The picture of a benchmark of engines that measured this bundle; None where none is kept."""
    place = storage.join(storage.home(), FOLDER)
    kept = set(storage.list_names(place))
    for name in sorted(name for name in kept if name.endswith(".json")):
        result, picture = storage.read_json(storage.join(place, name)), f"{name.removesuffix('.json')}.png"
        if isinstance(result, dict) and version.digest in result.get("bundles", ()) and picture in kept:
            return storage.read_bytes(storage.join(place, picture))
    return None
