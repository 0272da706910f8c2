"""cluster.yaml against Ray's own schema and defaults, and what keeps a cluster closed."""

import copy
import json
import re
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_it_fits_rays_schema(cluster):
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)


def test_ray_fills_in_its_defaults_and_accepts_it(cluster):
    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert prepared["provider"]["type"] == "aws"
    assert set(prepared["available_node_types"]) == {"head", "cpu", "gpu"}


def test_gpu_workers_exist_only_while_they_are_asked_for(cluster):
    assert cluster["available_node_types"]["gpu"]["min_workers"] == 0
    workers = [kind for name, kind in cluster["available_node_types"].items() if name != "head"]
    assert sum(kind["max_workers"] for kind in workers) == cluster["max_workers"]


def test_every_machine_asks_for_the_token_and_the_dashboard_is_not_on_the_network(cluster):
    for role in ("head", "worker"):
        starts = [line for line in cluster[f"{role}_start_ray_commands"] if "ray start" in line]
        assert starts
        assert all("RAY_AUTH_MODE=token ray start" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in cluster["setup_commands"][0]


def test_ray_serves_flags_are_those_of_the_code(cluster):
    from planogram.cluster import SERVE_FLAGS

    environment = next(line for line in cluster["setup_commands"] if "PLANOGRAM_HOME=" in line)
    assert all(f"{name}={value}" in environment for name, value in SERVE_FLAGS.items())


def test_what_is_mounted_exists_and_is_all_that_the_installation_needs(cluster):
    mounted = {local for remote, local in cluster["file_mounts"].items() if remote.startswith("~/planogram/")}
    assert all((ROOT / local).exists() for local in mounted)
    project = (ROOT / "pyproject.toml").read_text()
    assert {"platform", "constraints.txt", re.search(r'readme = "(.+)"', project)[1]} <= mounted
    extras = re.search(r"\.\[(.+)\]", " ".join(cluster["setup_commands"]))[1].split(",")
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)
