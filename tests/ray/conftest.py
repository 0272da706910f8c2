"""One local Ray cluster for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from planogram.cluster import connect
from planogram.config import ClusterConfig, SimulateConfig
from planogram.data.simulate import simulate
from planogram.data.sources import prepare
from planogram.serve.haproxy import isolated


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Two CPUs, started once and shut down at the end.

    Ray Serve's flags, and HAProxy's own ports and files, must be in the environment before the cluster starts.
    """
    with isolated(), connect(ClusterConfig(num_cpus=2), serve=True):
        yield


@pytest.fixture(scope="session")
def simulated_shop(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared shop of 100 products and 40 judged queries."""
    folder = tmp_path_factory.mktemp("shop")
    raw, shop = folder / "raw", folder / "shop"
    simulate(SimulateConfig(products=100, shoppers=50, queries=40, sessions=200, reviews=50), str(raw))
    prepare(str(raw / "mapping.yaml"), str(raw), str(shop))
    return shop
