"""How fast, how large and how good a bundle is on every engine, side by side in one run.

Every variant has a process of its own and they take turns, round by round, so that a machine that slows down slows all
of them. Times are medians over the rounds.
"""

import os
from contextlib import ExitStack
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.benchmark.machine import machine
from planogram.benchmark.pareto import advise, page, pareto_plot
from planogram.benchmark.variants import PEER, Running, Variant, VariantError
from planogram.compress.parity import measure
from planogram.compress.run import whole_lists
from planogram.config import BenchmarkEnginesConfig, CompressConfig, EvaluateConfig
from planogram.data.examples import Examples, load
from planogram.engines.openvino import EXPORTS
from planogram.evaluate.metrics import per_query
from planogram.evaluate.offline import source_of
from planogram.registry.bundle import ENGINES, WEIGHTS, BundleManifest, open_bundle
from planogram.registry.store import Registry

FOLDER = "benchmarks"
K = 10
EXPORTS_BY_NAME = {f"openvino-{precision}": export for precision, export in EXPORTS.items()}


def run(config: BenchmarkEnginesConfig) -> dict[str, Any]:
    """Measure every variant that this machine can run.

    Returns:
        `machine`; `variants`, one entry per variant and shape (`pairs_per_s`, `p50_ms`, and for all shapes of a variant
        the same `size_mb`, `rss_mb`, `ndcg_at_10`, `kendall_tau`, `mixed_pairs_per_s`, `naive_pairs_per_s`); `left_out`
        (variant -> why); `advice`, which variant to take; `file`, `plot` and `page`, where they stand.

    Raises:
        NotFoundError: there is no such bundle or shop.
    """
    storage.check_name(config.name, "name of a benchmark")
    bundles = [Registry().resolve(reference).path for reference in (config.bundle, *config.smaller)]
    examples = _examples(config, bundles[0])
    threads = config.threads or os.cpu_count() or 1
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        running = []
        for variant in [variant for path in bundles for variant in _variants(config, path, path == bundles[0])]:
            try:
                started = Running(variant, examples, threads)
            except VariantError as error:
                left_out[variant.name] = str(error)
                continue
            stack.callback(started.close)
            running.append(started)
        rows = _measure(config, running, examples)
    advice = advise([row for row in rows if row["shape"] == config.shapes[0]], config.latency_ms, config.ndcg_floor)
    result = {
        "name": config.name,
        "machine": machine(threads),
        "variants": rows,
        "left_out": left_out,
        "advice": advice,
    }
    place = storage.join(storage.home(), FOLDER, config.name)
    plot = pareto_plot(rows, config.shapes[0])
    storage.write_json(f"{place}.json", result)
    storage.write_bytes(f"{place}.png", plot)
    storage.write_bytes(f"{place}.html", page(result, plot))
    return result | {"file": f"{place}.json", "plot": f"{place}.png", "page": f"{place}.html"}


def beside(config: CompressConfig, made: str) -> BenchmarkEnginesConfig:
    """What measures a bundle that `compress` made: a pruned one beside the whole one, another by itself."""
    bundles = {"bundle": config.bundle, "smaller": (made,)} if config.prune else {"bundle": made}
    name = made.rstrip("/").rsplit("/", 1)[-1]
    return BenchmarkEnginesConfig(name=name, shop=config.shop, split=config.split, **bundles)


def _examples(config: BenchmarkEnginesConfig, path: str) -> Examples:
    manifest = open_bundle(path)[1]
    asked = EvaluateConfig(bundle=config.bundle, shop=config.shop, split=config.split)
    return whole_lists(load(manifest.heads[0].name, source_of(manifest, asked)), config.pairs)


def _variants(config: BenchmarkEnginesConfig, path: str, is_whole: bool) -> list[Variant]:
    """The whole model on every engine and the peer; smaller ones on what they were exported to."""
    folder, manifest = open_bundle(path)
    exported = [name for name, export in EXPORTS_BY_NAME.items() if (folder / ENGINES / export).is_dir()]
    names = [*config.torch, *exported, PEER] if is_whole else exported
    label = "" if is_whole else f"{_label(manifest)}-"
    return [Variant(f"{label}{name}", path, name) for name in names]


def _label(manifest: BundleManifest) -> str:
    prune = manifest.lineage.get("compressed", {}).get("config", {}).get("prune") or {}
    parts = [f"{prune['layers']}-layers" if prune.get("layers") else "", f"{prune.get('flops', 1.0):.0%}"]
    return "-".join(["pruned", *filter(None, parts)])


def _measure(config: BenchmarkEnginesConfig, running: list[Running], examples: Examples) -> list[dict[str, Any]]:
    shapes = [tuple(map(int, shape.split("x"))) for shape in config.shapes]
    times: dict[tuple[str, str], list[float]] = {}
    mixed: dict[tuple[str, bool], list[float]] = {}
    for number in track(range(config.rounds + 1), "rounds", console=Console(stderr=True), transient=True):
        for one in running:
            name = one.variant.name
            for shape, text in zip(shapes, config.shapes, strict=True):
                found = one.times(shape[0], shape[1], config.repeats)
                if number:  # the first round warms up
                    times.setdefault((name, text), []).extend(found)
            for naive in (False, True):
                rate = one.mixed(naive)
                if number:
                    mixed.setdefault((name, naive), []).append(rate)
    reference = running[0].scores()
    rows = []
    for one in running:
        name = one.variant.name
        common = _common(one, reference, examples) | {
            "mixed_pairs_per_s": median(mixed[name, False]),
            "naive_pairs_per_s": median(mixed[name, True]),
        }
        for shape, text in zip(shapes, config.shapes, strict=True):
            seconds = median(times[name, text])
            speed = {"shape": text, "pairs_per_s": shape[0] / seconds, "p50_ms": 1000 * seconds}
            rows.append({"variant": name, **speed, **common})
    return rows


def _common(one: Running, reference: Any, examples: Examples) -> dict[str, Any]:
    scores = one.scores()
    ranked = per_query(examples.grades, scores, examples.groups, K)[f"ndcg@{K}"]
    return {
        "size_mb": _size_mb(one.variant),
        "rss_mb": one.memory_mb(),
        "ndcg_at_10": float(ranked.mean()) if len(ranked) else None,
        "kendall_tau": measure(reference, scores, examples).kendall_tau,
    }


def _size_mb(variant: Variant) -> float | None:
    """Of the files that it loads; the peer makes its own."""
    if variant.engine == PEER:
        return None
    folder, _ = open_bundle(variant.path)
    export = EXPORTS_BY_NAME.get(variant.engine)
    files = (folder / ENGINES / export).iterdir() if export else [folder / WEIGHTS]
    return sum(path.stat().st_size for path in files) / 2**20
