"""How fast, how large and how good a bundle is on every engine, side by side in one run.

Every variant has a process of its own and they take turns, round by round, so that a machine that slows down slows all
of them. Times are medians over the rounds.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, cast

from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.benchmark.kept import keep
from planogram.benchmark.machine import machine
from planogram.benchmark.pareto import advise, page, pareto_plot
from planogram.benchmark.variants import PEER, Running, Variant, VariantError
from planogram.compress.parity import measure
from planogram.compress.run import whole_lists
from planogram.config import EXPORTS, BenchmarkEnginesConfig, CompressConfig, EngineName, EvaluateConfig
from planogram.data.examples import Examples, load
from planogram.engines.base import Floats
from planogram.errors import ConfigError
from planogram.evaluate.metrics import binary_metrics, per_query
from planogram.evaluate.sources import source_of
from planogram.models.backbone import build_backbone, read_architecture
from planogram.models.pruning import multiplications
from planogram.registry.bundle import ENGINES, WEIGHTS, BundleManifest, open_bundle
from planogram.registry.store import Registry

K = 10
SORTED, PADDED = "sorted", "padded"


def run(config: BenchmarkEnginesConfig) -> dict[str, Any]:
    """Measure every variant that this machine can run.

    Returns:
        `bundles`, digests of their manifests; `machine`; `variants`, one entry per variant and shape: `pairs_per_s`,
        `p50_ms`, `int8_share` (of the machine's measured rate of int8 products), and for all shapes of a variant the
        same `size_mb`, `rss_mb`, `ndcg_at_10`, `auc`, `kendall_tau`, `mixed_pairs_per_s`, `naive_pairs_per_s` and
        `stall_ms` (what the first inference of a new shape takes above the second); `left_out` (variant -> why);
        `advice`, which variant to take; `file`, `plot` and `page`, where they stand.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle is no cross-encoder.
        VariantError: no variant runs.
    """
    storage.check_name(config.name, "name of a benchmark")
    versions = [Registry().resolve(reference) for reference in (config.bundle, *config.smaller)]
    bundles = [version.path for version in versions]
    examples = _examples(config, bundles[0])
    threads = config.threads or os.cpu_count() or 1
    here = machine(threads)
    with ExitStack() as stack:
        variants = [variant for path in bundles for variant in _variants(config, path, path == bundles[0])]
        running, left_out = _start(variants, examples, threads, stack)
        if not running:
            raise VariantError("no variant runs on this machine: " + "; ".join(left_out.values()))
        times = _rounds(config, running)
        reference = running[0].scores()
        rows = [row for one in running for row in _rows(one, times[one.variant.name], reference, examples, here)]
    shown = [row for row in rows if row["shape"] == config.shapes[0]]
    advice = advise(shown, config.latency_ms, config.ndcg_floor)
    about = {"name": config.name, "bundles": [version.digest for version in versions], "machine": here}
    result = about | {"variants": rows, "left_out": left_out, "advice": advice}
    return result | keep(config.name, result, pareto_plot(rows, config.shapes[0]), page)


def _start(
    variants: Sequence[Variant], examples: Examples, threads: int, stack: ExitStack
) -> tuple[list[Running], dict[str, str]]:
    """The processes of all variants that this machine can run, and why it cannot run the others."""
    running, left_out = [], {}
    for variant in variants:
        try:
            started = Running(variant, examples, threads)
        except VariantError as error:
            left_out[variant.name] = str(error)
            continue
        stack.callback(started.close)
        running.append(started)
    return running, left_out


def beside(config: CompressConfig, made: str) -> BenchmarkEnginesConfig:
    """What measures a bundle that `compress` made: a pruned one beside the whole one, another by itself."""
    bundles = {"bundle": config.bundle, "smaller": (made,)} if config.prune else {"bundle": made}
    name = made.rstrip("/").rsplit("/", 1)[-1]
    return BenchmarkEnginesConfig(name=name, shop=config.shop, split=config.split, **bundles)


def _examples(config: BenchmarkEnginesConfig, path: str) -> Examples:
    manifest = open_bundle(path)[1]
    if manifest.kind != "cross-encoder" or manifest.demand:
        kind = "demand model" if manifest.demand else manifest.kind
        raise ConfigError(f"{path} is a {kind}", allowed="a ranker", remedy="choose another bundle")
    asked = EvaluateConfig(bundle=config.bundle, shop=config.shop, split=config.split)
    return whole_lists(load(manifest.heads[0].name, source_of(manifest, asked)), config.pairs)


def _variants(config: BenchmarkEnginesConfig, path: str, is_whole: bool) -> list[Variant]:
    """The whole model on every engine and the peer; smaller ones on what they were exported to."""
    folder, manifest = open_bundle(path)
    exported = [name for name, export in EXPORTS.items() if (folder / ENGINES / export).is_dir()]
    names = [*config.torch, *exported, PEER] if is_whole else exported
    label = "" if is_whole else f"{_label(manifest)}-"
    return [Variant(f"{label}{name}", path, name) for name in names]


def _label(manifest: BundleManifest) -> str:
    prune = manifest.lineage.get("compressed", {}).get("config", {}).get("prune") or {}
    parts = [f"{prune['layers']}-layers" if prune.get("layers") else "", f"{prune.get('flops', 1.0):.0%}"]
    return "-".join(["pruned", *filter(None, parts)])


def _rounds(config: BenchmarkEnginesConfig, running: Sequence[Running]) -> dict[str, dict[str, list[float]]]:
    """Variant -> shape -> seconds of each inference; below `SORTED` and `PADDED`, pairs per second of real texts."""
    found: dict[str, dict[str, list[float]]] = {one.variant.name: defaultdict(list) for one in running}
    for number in track(range(config.rounds + 1), "rounds", console=Console(stderr=True), transient=True):
        for one in running:
            measured = {shape: one.times(*_sizes(shape), config.repeats) for shape in config.shapes}
            measured |= {SORTED: [one.mixed(naive=False)], PADDED: [one.mixed(naive=True)]}
            if number:  # the first round warms up
                for name, values in measured.items():
                    found[one.variant.name][name] += values
    return found


def _sizes(shape: str) -> tuple[int, int]:
    pairs, tokens = shape.split("x")
    return int(pairs), int(tokens)


def _rows(
    one: Running, times: dict[str, list[float]], reference: Floats, examples: Examples, here: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each shape of a variant."""
    scores, head = one.scores(), open_bundle(one.variant.path)[1].heads[0]
    targets = examples.grades > (head.low + head.high) / 2
    ranked = per_query(examples.grades, scores, examples.groups, K)[f"ndcg@{K}"]
    common = {
        "size_mb": _size_mb(one.variant),
        "rss_mb": one.memory_mb(),
        "ndcg_at_10": float(ranked.mean()) if len(ranked) else None,
        "auc": binary_metrics(targets, scores).get("auc"),
        "kendall_tau": measure(reference, scores, examples).kendall_tau,
        "mixed_pairs_per_s": median(times[SORTED]),
        "naive_pairs_per_s": median(times[PADDED]),
        "stall_ms": one.stall_ms(),
    }
    backbone = build_backbone(read_architecture(open_bundle(one.variant.path)[0]))
    rows = []
    for shape in [name for name in times if name not in (SORTED, PADDED)]:
        pairs, tokens = _sizes(shape)
        seconds = median(times[shape])
        share = pairs * multiplications(backbone, tokens) / seconds / here["int8_macs_per_s"]
        speed = {"shape": shape, "pairs_per_s": pairs / seconds, "p50_ms": 1000 * seconds, "int8_share": share}
        rows.append({"variant": one.variant.name, **speed, **common})
    return rows


def _size_mb(variant: Variant) -> float | None:
    """Of the files that it loads; the peer makes its own."""
    if variant.engine == PEER:
        return None
    folder, _ = open_bundle(variant.path)
    export = EXPORTS.get(cast(EngineName, variant.engine))
    files = (folder / ENGINES / export).iterdir() if export else [folder / WEIGHTS]
    return sum(path.stat().st_size for path in files) / 2**20
