"""Which targets a benchmark of serving has, and the config of Ray Serve for each of ours."""

import os
from dataclasses import dataclass
from typing import Any

from planogram.benchmark.bodies import Texts, Workload, rerank, workload
from planogram.benchmark.peers.server import PeerServer
from planogram.benchmark.targets import PlanogramServer, Target
from planogram.config import BenchmarkServingConfig, EngineName, WorkloadName
from planogram.serve.check import IMPORT_PATH

PEER_PATH = "/rerank"


@dataclass(frozen=True)
class Column:
    """A target and what it is asked.

    Attributes:
        engine: the raw loop that it stands beside.
        workloads: name -> requests.
    """

    target: Target
    engine: EngineName
    workloads: dict[str, Workload]


def threads_of(config: BenchmarkServingConfig) -> int:
    """Of one inference."""
    return config.threads or os.cpu_count() or 1


def columns(config: BenchmarkServingConfig, bundle: str, texts: Texts) -> list[Column]:
    """Our server with every engine and all flags, with its cache where that is asked for; then the peers."""
    made = {name: workload(name, texts, config.shop) for name in config.workloads}
    ours = [
        column
        for engine in config.engines
        for flags in config.flags
        for cached in ((False, True) if "cached" in made else (False,))
        if (column := _ours(config, bundle, made, (engine, flags), cached=cached))
    ]
    if "rerank" not in made:
        return ours
    peers = [PeerServer(name, bundle, threads_of(config), config.peers_folder) for name in config.peers]
    asked = {"rerank": rerank(texts, PEER_PATH)}
    return ours + [Column(peer, config.engines[0], asked) for peer in peers]


def _ours(
    config: BenchmarkServingConfig,
    bundle: str,
    made: dict[WorkloadName, Workload],
    which: tuple[EngineName, Any],
    *,
    cached: bool,
) -> Column:
    engine, flags = which
    demand = {"engine": config.demand_engine, "threads": threads_of(config)}
    priced = {"pricing": {"demand": config.demand, "engine": demand}}
    args = {
        "routes": ["rerank", *(["search"] if config.shop else []), *(["price"] if "price" in made else [])],
        "engine": {"engine": engine, "threads": threads_of(config)},
        "ranker": bundle,
        **({"shop": config.shop} if config.shop else {}),
        **(priced if "price" in made else {}),
        **(config.cache_on if cached else config.cache_off),
    }
    name = f"planogram/{engine}/{flags}{'/cache' if cached else ''}"
    server = PlanogramServer(name, serve_config(args), flags, start_timeout_s=config.start_timeout_s)
    asked: dict[str, Workload] = {name: load for name, load in made.items() if not cached or name == "cached"}
    return Column(server, engine, asked)


def serve_config(args: dict[str, Any], ranker: dict[str, Any] | None = None) -> dict[str, Any]:
    """A config of Ray Serve with one replica of each deployment.

    Args:
        args: of the application.
        ranker: options of the ranker in place of those.
    """
    one = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 64}}
    names = ["Gateway", *(["Retriever"] if "search" in args["routes"] else [])]
    names += ["Pricer"] if "price" in args["routes"] else []
    deployments = [{"name": name, **one} for name in names] + [{"name": "Ranker", **one, **(ranker or {})}]
    application = {
        "name": "planogram",
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        "args": args,
        "deployments": deployments,
    }
    return {"http_options": {"request_timeout_s": 15}, "applications": [application]}
