"""How fast our server answers, beside its own engine and beside other servers, in one run on one machine.

Targets take turns, round by round, and only one of them runs at a time: it starts, warms up, is measured and ends, so
that none is disturbed by another that idles. Figures are medians over the rounds.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress

from planogram import storage
from planogram.benchmark.bodies import Texts, rerank
from planogram.benchmark.columns import columns, threads_of
from planogram.benchmark.kept import keep
from planogram.benchmark.load.generator import Generator
from planogram.benchmark.load.summary import Figures, middle
from planogram.benchmark.machine import machine
from planogram.benchmark.measure import load_name, measure_engine, measure_server
from planogram.benchmark.peers.environments import PeerError
from planogram.benchmark.serving_report import page, plot
from planogram.benchmark.spawn import TargetError
from planogram.config import BenchmarkServingConfig
from planogram.errors import ConfigError
from planogram.registry.bundle import open_bundle
from planogram.registry.store import Registry

ENGINE = "engine"
#: (target, workload, load) -> figures of each round
Found = dict[tuple[str, str, str], list[Figures]]


def run(config: BenchmarkServingConfig) -> dict[str, Any]:
    """Measure every target that runs on this machine.

    Returns:
        `name`, `machine`, `model` (`bundle`, `tower`, `tokens_per_pair`), `rows`, `left_out` (target -> why), `config`,
        and `file`, `plot` and `page`, where they stand. A row has `target`, `workload`, `load` (see `load_name`), what
        `measure_server` returns, and None where they do not apply: `overhead_ms`, its p50 at one client above the
        engine's, and `of_engine`, its pairs per second as a share of the engine's.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle is no cross-encoder.
        TargetError: nothing runs.
    """
    storage.check_name(config.name, "name of a benchmark")
    bundle = Registry().resolve(config.bundle).path
    manifest = open_bundle(bundle)[1]
    if manifest.kind != "cross-encoder":
        raise ConfigError(f"{bundle} is a {manifest.kind}", allowed="a cross-encoder", remedy="choose another bundle")
    texts = Texts(bundle, config.shop, config.requests)
    tokens = texts.mean_tokens(rerank(texts))
    found, left_out = _rounds(config, bundle, texts)
    if not found:
        raise TargetError("nothing runs on this machine: " + "; ".join(left_out.values()))
    result = {
        "name": config.name,
        "machine": machine(threads_of(config)),
        "model": {"bundle": bundle, "tower": bool(manifest.features.width), "tokens_per_pair": tokens},
        "rows": rows(found, {column.target.name: column.engine for column in columns(config, bundle, texts)}),
        "left_out": left_out,
        "config": config.model_dump(mode="json"),
    }
    return result | keep(config.name, result, plot(result), page)


def _rounds(config: BenchmarkServingConfig, bundle: str, texts: Texts) -> tuple[Found, dict[str, str]]:
    """(target, workload, load) -> figures of each round; and why a target is left out."""
    found: Found = defaultdict(list)
    left_out: dict[str, str] = {}
    with Generator() as generator, Progress(console=Console(stderr=True), transient=True) as progress:
        targets = _targets(config, bundle, texts, generator)
        task = progress.add_task("", total=config.rounds * len(targets))
        for number in range(1, config.rounds + 1):
            for name, measured in targets.items():
                progress.update(task, description=f"round {number}: {name}")
                if name not in left_out:
                    try:
                        for (workload, load), figures in measured().items():
                            found[name, workload, load].append(figures)
                    except (TargetError, PeerError) as error:
                        left_out[name] = str(error)
                progress.advance(task)
    return {key: rounds for key, rounds in found.items() if key[0] not in left_out}, left_out


def _targets(
    config: BenchmarkServingConfig, bundle: str, texts: Texts, generator: Generator
) -> dict[str, Callable[[], dict[tuple[str, str], Figures]]]:
    """Name -> what measures it once."""
    engines = config.engines if "rerank" in config.workloads else ()
    loops = {f"{ENGINE}/{name}": partial(measure_engine, config, bundle, name, texts) for name in engines}
    servers = {
        column.target.name: partial(measure_server, config, column, generator)
        for column in columns(config, bundle, texts)
    }
    return {**loops, **servers}


def rows(found: Found, engines: Mapping[str, str]) -> list[Figures]:
    """A row for each target, workload and load: medians over the rounds, and how it stands beside its engine.

    Args:
        found: figures of each round.
        engines: target -> name of the loop that it stands beside.
    """
    made = {key: middle(rounds) for key, rounds in found.items()}
    return [
        {"target": target, "workload": workload, "load": load, **figures}
        | _beside(figures, load, made.get((f"{ENGINE}/{engines.get(target)}", workload, load_name(1))))
        for (target, workload, load), figures in made.items()
    ]


def _beside(figures: Figures, load: str, engine: Figures | None) -> Figures:
    """`of_engine` and, at one client, `overhead_ms`; None where there is no such loop."""
    if engine is None or not engine["pairs_per_s"]:
        return {"of_engine": None, "overhead_ms": None}
    alone = load == load_name(1) and figures["p50_ms"] is not None
    overhead_ms = figures["p50_ms"] - engine["p50_ms"] if alone else None
    return {"of_engine": figures["pairs_per_s"] / engine["pairs_per_s"], "overhead_ms": overhead_ms}
