"""`ray job submit` on a cluster that `ray start` started, with token authentication."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from planogram.registry.bundle import open_bundle

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
TINY = {
    "backbone": "{name: scratch, hidden_size: 32, layers: 1, attention_heads: 2, vocab_size: 300}",
    "text.max_tokens": "32",
    "train.epochs": "1",
    "split.folds": "3",
    "split.valid_share": "0.3",
}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Cluster:
    home: Path
    address: str
    environment: dict[str, str]

    def job(self, verb: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [RAY, "job", verb, "--address", self.address, *arguments]
        return subprocess.run(
            command,
            check=False,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with ports and folders of its own, as cluster.yaml starts one."""
    private = tmp_path_factory.mktemp("cluster")
    token = private / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PLANOGRAM_HOME": str(private / "home"),
    }
    # Sockets lie in this folder, and their paths may have 107 bytes: it is not below pytest's.
    folder = tempfile.mkdtemp(prefix="ray-")
    port, dashboard, client, agent = free_ports(4)
    options = [
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}",
        "--dashboard-host=127.0.0.1",
        "--node-ip-address=127.0.0.1",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--num-cpus=2",
        f"--temp-dir={folder}",
    ]
    # With --block what it starts are its children, so that exactly these can be ended.
    process = subprocess.Popen(
        [RAY, "start", "--head", "--block", *options], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield ready(Cluster(private / "home", f"http://127.0.0.1:{dashboard}", environment), process)
    finally:
        end(psutil.Process(process.pid))
        shutil.rmtree(folder, ignore_errors=True)


def ready(cluster: Cluster, process: subprocess.Popen[bytes]) -> Cluster:
    deadline = time.monotonic() + 60
    while cluster.job("list").returncode:
        assert process.poll() is None, "`ray start` has ended"
        assert time.monotonic() < deadline, "the cluster takes no jobs"
    return cluster


def end(root: psutil.Process) -> None:
    """End a process and all that descends from it; what others run stays."""
    family = [*root.children(recursive=True), root]
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    _, left = psutil.wait_procs(family, timeout=10)
    for each in left:
        each.kill()
    psutil.wait_procs(left, timeout=10)


def test_a_submitted_job_trains_on_the_cluster_that_runs_it(cluster, tiny_shop):
    settings = [f"--set={key}={value}" for key, value in {**TINY, "shop": tiny_shop, "run": "as-a-job"}.items()]
    command = [sys.executable, "jobs/finetune.py", "--config", "jobs/configs/finetune.yaml", *settings, "--json"]
    submitted = cluster.job("submit", "--working-dir", str(ROOT), "--", *command)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr

    _, manifest = open_bundle(str(cluster.home / "runs" / "as-a-job" / "bundle"))
    assert manifest.lineage["config"]["launch"]["workers"] == 2
    # The job has a driver here: it joined this cluster, where it could have started another.
    listed = cluster.job("list").stdout
    assert "DriverInfo(" in listed
    assert "SUCCEEDED" in listed


def test_without_the_token_no_job_is_taken(cluster):
    refused = cluster.job("submit", "--no-wait", "--", "true", RAY_AUTH_MODE="disabled")
    assert refused.returncode != 0
    assert "auth" in refused.stderr.lower(), refused.stderr
