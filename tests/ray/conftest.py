"""One local Ray cluster for all tests of this folder."""

from collections.abc import Iterator

import pytest

from planogram.cluster import connect
from planogram.config import ClusterConfig
from planogram.serve.haproxy import isolated


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Two CPUs, started once and shut down at the end.

    Ray Serve's flags, and HAProxy's own ports and files, must be in the environment before the cluster starts.
    """
    with isolated(), connect(ClusterConfig(num_cpus=2), serve=True):
        yield
