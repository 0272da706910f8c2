"""How trials are sized for a cluster."""

import pytest

from planogram.config import LaunchConfig
from planogram.errors import ConfigError
from planogram.section import parse
from planogram.tune.executor import fitting, resources


def test_a_trial_with_workers_books_no_cpu_for_itself():
    assert "CPU" not in resources(LaunchConfig(workers=2))
    assert sum(resources(LaunchConfig(workers=2)).values()) > 0


def test_a_trial_that_trains_itself_books_what_it_trains_on():
    assert resources(LaunchConfig(workers=0, cpus_per_worker=3)) == {"CPU": 3.0}
    assert resources(LaunchConfig(workers=0, gpu=True, gpu_share=0.5)) == {"CPU": 1.0, "GPU": 0.5}


@pytest.mark.parametrize(
    ("launch", "cluster", "count"),
    [
        ({"workers": 2}, {"CPU": 2.0}, 1),
        ({"workers": 2}, {"CPU": 9.0}, 4),
        ({"workers": 4}, {"CPU": 2.0}, 1),
        ({"workers": 0, "cpus_per_worker": 2}, {"CPU": 8.0}, 4),
        ({"workers": 2, "gpu": True}, {"CPU": 64.0, "GPU": 8.0}, 4),
        ({"workers": 1, "gpu": True, "gpu_share": 0.25}, {"CPU": 64.0, "GPU": 2.0}, 8),
    ],
)
def test_as_many_trials_as_the_cluster_takes(launch, cluster, count):
    assert fitting(LaunchConfig(**launch), cluster) == count


@pytest.mark.parametrize("launch", [{"workers": 2, "gpu": True}, {"workers": 1}])
def test_only_a_single_worker_with_a_gpu_shares_it(launch):
    with pytest.raises(ConfigError, match="gpu_share is for a single worker"):
        parse(LaunchConfig, {**launch, "gpu_share": 0.5}, "the test")
