"""`planogram score`: a whole catalogue's scores as a table, on Ray Data or in this process."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from planogram import cluster, storage
from planogram.bulk.parts import PartScorer, Sealed, part_pairs, sealed_part, subject
from planogram.bulk.wanted import wanted
from planogram.config import ScoreConfig
from planogram.data.match import MATCH
from planogram.errors import ConfigError
from planogram.registry.bundle import open_bundle
from planogram.registry.store import ModelVersion, Registry

SUMMARY = "_scores.json"


def run(config: ScoreConfig) -> dict[str, Any]:
    """Score what is wanted and not there yet.

    Returns:
        `bundle`, `pairs`, `parts`, `kept` (parts that were there, whole, and of the same pairs by the same bundle),
        `truncated` (pairs that were cut to the model's longest input), `pairs_per_s` (of the parts that were scored,
        all workers together, loading aside; None where all were there) and `out`, a folder of Parquet files with
        `query`, `product_id`, a column for each head, and `truncated`. The same stands in `_scores.json`.

    Raises:
        NotFoundError: there is no such bundle, shop or file.
        ConfigError: the bundle is no cross-encoder that reads texts alone, or the file of pairs cannot be read.
        DataError: a product is not in the shop, or nothing is wanted.
    """
    config = config.model_copy(update={"out": storage.absolute(config.out)})
    version = Registry().resolve(config.bundle)
    kept, missing = _sorted_out(config, version)
    made = dict(_scored(config, version, missing)) if missing else {}
    seconds = sum(sealed["seconds"] for sealed in made.values())
    workers = max(1, min(config.workers, len(missing)))
    scored = sum(sealed["rows"] for sealed in made.values())
    _forget(config, len(kept) + len(made))
    result = {
        "bundle": version.reference if version.version else version.path,
        "pairs": scored + sum(sealed.rows for sealed in kept),
        "parts": len(kept) + len(made),
        "kept": len(kept),
        "truncated": sum(each["truncated"] for each in made.values()) + sum(each.truncated for each in kept),
        "pairs_per_s": scored * workers / seconds if made else None,
        "out": config.out,
    }
    storage.write_json(storage.join(config.out, SUMMARY), result)
    return result


def _sorted_out(config: ScoreConfig, version: ModelVersion) -> tuple[list[Sealed], list[int]]:
    """Seals of the parts that are there, and numbers of those that are not."""
    _, manifest = open_bundle(version.path)
    beside_text = [name for name in manifest.features.names if name not in MATCH]
    if manifest.kind != "cross-encoder" or manifest.demand or beside_text:
        raise ConfigError(
            f"{config.bundle} does not score texts alone",
            allowed="a cross-encoder without tower.features",
            remedy="score with another bundle",
        )
    pairs, scored_by = wanted(config, manifest), manifest.subject(config.engine)
    count = -(-len(pairs) // config.pairs_per_part)
    found = {
        number: sealed_part(config, number, subject(part_pairs(pairs, config, number), config, scored_by))
        for number in range(count)
    }
    kept = [sealed for sealed in found.values() if sealed]
    return kept, [number for number, sealed in found.items() if not sealed]


def _scored(config: ScoreConfig, version: ModelVersion, missing: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of a part -> what its seal says, as they are written."""
    if config.workers == 0:
        scorer = PartScorer(config, version.path)
        yield from _counted((scorer({"part": number}) for number in missing), len(missing))
        return
    import ray.data

    with cluster.connect(config.cluster), cluster.quiet_data():
        dataset = ray.data.from_items([{"part": number} for number in missing], override_num_blocks=len(missing))
        rows = dataset.map(
            PartScorer,
            fn_constructor_args=(config, version.path),
            compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(missing))),
        )
        yield from _counted(rows.iter_rows(), len(missing))


def _counted(rows: Iterable[dict[str, Any]], total: int) -> Iterator[tuple[int, dict[str, Any]]]:
    bar = track(rows, "parts", total=total, console=Console(stderr=True), transient=True)
    return ((int(row["part"]), row) for row in bar)


def _forget(config: ScoreConfig, parts: int) -> None:
    """Remove parts of an earlier, larger table: readers take all that is in the folder."""
    fs, _ = storage.filesystem(config.out)
    for name in storage.list_names(config.out):
        number = name.removeprefix("_").removeprefix("part-").partition(".")[0]
        if name.lstrip("_").startswith("part-") and number.isdigit() and int(number) >= parts:
            fs.rm_file(storage.filesystem(storage.join(config.out, name))[1])
