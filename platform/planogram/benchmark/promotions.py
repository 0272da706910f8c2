"""What a change of model costs clients: good and corrupt versions are promoted in turn under load, then rolled back.

Everything happens in a registry of its own, below a temporary PLANOGRAM_HOME. Corrupt versions come to their alias as
they would in practice, past `planogram models promote`, which would refuse them.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import httpx

from planogram import storage
from planogram.benchmark.clients import Clients
from planogram.benchmark.versions import CORRUPT, MODEL, good_version, move_alias, version_of
from planogram.config import BenchmarkPromotionsConfig
from planogram.errors import ClusterError
from planogram.registry.bundle import open_bundle
from planogram.registry.store import CHAMPION, Registry, tracking_uri
from planogram.serve import launch
from planogram.serve.check import IMPORT_PATH
from planogram.serve.haproxy import free_ports

FOLDER = "benchmarks"
POLL_S = 0.02

Card = dict[str, Any]


def run(config: BenchmarkPromotionsConfig) -> dict[str, Any]:
    """Serve copies of a bundle, promote, and write the result below `PLANOGRAM_HOME/benchmarks/`.

    Returns:
        `requests`, `non_2xx` and `wrong` (answers whose scores are not the bundle's) of all clients; `switch_s` with
        median and max over the good promotions, from the move of the alias to the first answer of `/v1/models` that
        shows the new version; `refused`, the reason of each corrupt one; `rollback_s`; `config` and `file`.

    Raises:
        NotFoundError, IntegrityError: there is no such bundle, or it does not verify.
        ClusterError: the server does not start, or nothing comes of a promotion.
    """
    storage.check_name(config.name, "name of a benchmark")
    file = storage.join(storage.home(), FOLDER, f"{config.name}.json")
    bundle = str(open_bundle(Registry().resolve(config.bundle).path)[0])
    with tempfile.TemporaryDirectory(prefix="planogram-") as folder, own_home(folder):
        result = {"name": config.name, **_measured(config, bundle), "config": config.model_dump(mode="json")}
    storage.write_json(file, result)
    return result | {"file": file}


@contextmanager
def own_home(folder: str) -> Iterator[None]:
    """Let this process and what it starts keep everything in a folder, while the block runs."""
    names = ("PLANOGRAM_HOME", "MLFLOW_TRACKING_URI")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["PLANOGRAM_HOME"] = folder
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _measured(config: BenchmarkPromotionsConfig, bundle: str) -> dict[str, Any]:
    Registry().promote(good_version(bundle, 0).reference, CHAMPION, "the first one")
    with launch.serving(_serve_config(config), config.cluster) as server:
        with Clients(server.url, config.clients, config.documents) as clients:
            promotions = [_promotion(config, bundle, number, server.url) for number in range(1, config.promotions + 1)]
            rollback_s = _rollback(config, server.url)
        switches = [each["seconds"] for each in promotions if each["kind"] == "good"]
        return {
            **clients.result(),
            "switch_s": {"median": median(switches), "max": max(switches)},
            "rollback_s": rollback_s,
            "refused": [each for each in promotions if each["kind"] != "good"],
        }


def _promotion(config: BenchmarkPromotionsConfig, bundle: str, number: int, url: str) -> dict[str, Any]:
    """Promote a version, and wait for what comes of it; odd numbers are good."""
    kind = "good" if number % 2 else CORRUPT[number // 2 % len(CORRUPT)]
    version = version_of(kind, bundle, number)
    began_s = time.monotonic()
    if kind == "good":
        Registry().promote(version.reference, CHAMPION, "a good one")
        card = _wait(config, url, lambda card: card["digest"] == version.digest)
    else:
        move_alias(version)
        card = _wait(config, url, lambda card: card.get("wanted") == version.version and bool(card["problem"]))
    seconds = round(time.monotonic() - began_s, 3)
    return {"kind": kind, "version": version.version, "seconds": seconds, "problem": card.get("problem", "")}


def _rollback(config: BenchmarkPromotionsConfig, url: str) -> float:
    """Seconds from the command to the answer that shows the version before."""
    began_s = time.monotonic()
    version = Registry().rollback(MODEL, CHAMPION, "the last one was bad")
    _wait(config, url, lambda card: card["digest"] == version.digest)
    return round(time.monotonic() - began_s, 3)


def _wait(config: BenchmarkPromotionsConfig, url: str, reached: Callable[[Card], bool]) -> Card:
    """Ask `/v1/models` until it shows something.

    Raises:
        ClusterError: it does not within `patience_s`.
    """
    deadline_s = time.monotonic() + config.patience_s
    with httpx.Client(base_url=url, timeout=config.patience_s) as client:
        while True:
            card: Card = client.get("/v1/models").raise_for_status().json()["data"][0]
            if reached(card):
                return card
            if time.monotonic() > deadline_s:
                raise ClusterError(
                    f"nothing came of a promotion within {config.patience_s:g} s: {card}",
                    remedy="look into the ranker's log, or raise patience_s",
                )
            time.sleep(POLL_S)


def _serve_config(config: BenchmarkPromotionsConfig) -> dict[str, Any]:
    ranker = {
        "name": "Ranker",
        "ray_actor_options": {"num_cpus": config.replica_cpus},
        "autoscaling_config": {"min_replicas": config.replicas, "max_replicas": config.replicas},
    }
    args = {
        "routes": ["rerank"],
        "ranker": f"{MODEL}@{CHAMPION}",
        # Every answer is computed by the version that it names.
        "cache": {"scores_mb": 0},
        "engine": {"engine": config.engine},
        "follow": {"period_s": config.period_s},
    }
    return {
        "http_options": {"port": free_ports(1)[0], "request_timeout_s": 15},
        "applications": [
            {
                "name": "promotions",
                "import_path": IMPORT_PATH,
                "args": args,
                "deployments": [ranker],
                # Also on a cluster that runs already, whose workers do not have this process's environment.
                "runtime_env": {
                    "env_vars": {name: os.environ[name] for name in ("PLANOGRAM_HOME", "MLFLOW_TRACKING_URI")}
                },
            }
        ],
    }
