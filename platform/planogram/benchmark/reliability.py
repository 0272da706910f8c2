"""What clients notice when something breaks: scenarios one after the other, each on a server of its own."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.benchmark.bodies import Texts, Workload, rerank
from planogram.benchmark.columns import serve_config
from planogram.benchmark.kept import keep
from planogram.benchmark.load.generator import Generator, GeneratorError
from planogram.benchmark.machine import machine
from planogram.benchmark.reliability_report import page, plot
from planogram.benchmark.scenarios import SCENARIOS
from planogram.benchmark.scene import Result, Scene
from planogram.benchmark.spawn import TargetError
from planogram.benchmark.targets import PlanogramServer
from planogram.config import BenchmarkReliabilityConfig, ScenarioName
from planogram.registry.store import Registry
from planogram.serve.keys import create_key


def run(config: BenchmarkReliabilityConfig) -> dict[str, Any]:
    """Play every scenario.

    Returns:
        `name`, `machine`, `scenarios` (name -> what its function returns), `failed` (name -> why it could not be
        played), `config`, and `file`, `plot` and `page`, where they stand.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the model does not read so many tokens.
        TargetError: no scenario could be played.
    """
    storage.check_name(config.name, "name of a benchmark")
    bundle = Registry().resolve(config.bundle).path
    workload = rerank(Texts(bundle, config.shop, config.requests))
    found, failed = {}, {}
    for name in track(config.scenarios, "scenarios", console=Console(stderr=True), transient=True):
        try:
            found[name] = _play(config, name, bundle, workload)
        except (TargetError, GeneratorError) as error:
            failed[name] = str(error)
    if not found:
        raise TargetError("no scenario could be played: " + "; ".join(failed.values()))
    shown = {"name": config.name, "machine": machine(config.threads), "scenarios": found, "failed": failed}
    result = {**shown, "config": config.model_dump(mode="json")}
    return result | keep(config.name, result, plot(result), page)


def _play(config: BenchmarkReliabilityConfig, name: ScenarioName, bundle: str, workload: Workload) -> Result:
    with tempfile.TemporaryDirectory(prefix="planogram-") as folder:
        file, key, attacker = _keys(config, folder) if name == "hostile" else ("", "", "")
        served = _config(config, name, bundle, file)
        server = PlanogramServer(f"reliability/{name}", served, "both", config.num_cpus, config.start_timeout_s)
        # A generator of its own: a scenario that fails may leave one at work.
        with server.started() as running, Generator() as generator:
            return SCENARIOS[name](Scene(config, workload, generator, server, replace(running, key=key), attacker))


def _keys(config: BenchmarkReliabilityConfig, folder: str) -> tuple[str, str, str]:
    """A file of two keys, that of the clients, and that of who means no good."""
    file = str(Path(folder, "keys.json"))
    limit = config.hostile.documents_per_s
    return file, create_key(file, "clients", ["read"]), create_key(file, "hostile", ["read"], documents_per_s=limit)


def _config(config: BenchmarkReliabilityConfig, name: ScenarioName, bundle: str, keys_file: str = "") -> dict[str, Any]:
    args: dict[str, Any] = {
        "routes": ["rerank"],
        "ranker": bundle,
        # A load that repeats itself would be no load.
        "cache": {"scores_mb": 0},
        "engine": {"engine": config.engine, "threads": config.threads, "max_wait_s": config.max_wait_s},
    }
    if name == "hostile" and config.shop:
        # Every route that reads a body.
        args |= {"routes": ["search", "recommend", "rerank"], "shop": config.shop}
    if keys_file:
        args["auth"] = {"keys_file": keys_file}
    scaling: dict[str, Any] = {"min_replicas": config.replicas, "max_replicas": config.replicas}
    if name == "autoscale":
        # Fast both ways, so that minutes show what takes hours in a shop.
        delays = {"upscale_delay_s": 1, "downscale_delay_s": 5, "look_back_period_s": 5, "metrics_interval_s": 1}
        scaling = {"min_replicas": 1, "max_replicas": config.replicas, "target_ongoing_requests": 2, **delays}
    return serve_config(args, {"autoscaling_config": scaling})
