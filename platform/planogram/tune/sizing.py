"""What a trial takes of a cluster, and how many it takes at once."""

import math

from planogram.config.training import LaunchConfig

# A trial's own process books this and no CPU: those are for the workers that it starts. Booked nowhere, Ray Tune would
# take a whole CPU for it, and two cores would wait for each other for ever.
DRIVER = {"memory": 512 * 2**20}


def resources(launch: LaunchConfig) -> dict[str, float]:
    """What a trial's own process books: no CPU where workers train, and all of it where it trains itself."""
    if launch.workers:
        return dict(DRIVER)
    gpu = {"GPU": launch.gpu_share} if launch.gpu else {}
    return {"CPU": float(launch.cpus_per_worker), **gpu}


def fitting(launch: LaunchConfig, cluster: dict[str, float] | None = None) -> int:
    """How many trials the CPUs and GPUs of a cluster take at once; at least one.

    Args:
        launch: where a trial's workers run.
        cluster: its resources; absent: of the one that is connected.
    """
    import ray

    cluster = ray.cluster_resources() if cluster is None else cluster
    workers = max(1, launch.workers)
    counts = [cluster.get("CPU", 0.0) / (workers * launch.cpus_per_worker)]
    if launch.gpu:
        counts.append(cluster.get("GPU", 0.0) / (workers * launch.gpu_share))
    return max(1, math.floor(min(counts) + 1e-9))
