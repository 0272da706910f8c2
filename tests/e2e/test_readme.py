"""README.md's commands, run as they stand there, one after another."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
README_PORT = "8000"
TIMEOUT_S = 600
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PLANOGRAM_", "MLFLOW_"))},
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path, port):
    """A working folder with the repository's configurations, where the server's port is a free one."""
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    (tmp_path / "serve_configs").mkdir()
    for config in (ROOT / "serve_configs").iterdir():
        (tmp_path / "serve_configs" / config.name).write_text(config.read_text().replace(README_PORT, port))
    return tmp_path


def shell(block: str, folder: Path) -> str:
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"
    return run.stdout


@contextmanager
def serving(command: str, folder: Path):
    """The server in the background, from the line that says it is ready to its end by Ctrl-C."""
    server = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    hung = threading.Timer(TIMEOUT_S, server.kill)
    hung.start()
    try:
        assert any("serving at" in line for line in server.stdout), "the server ended before it was ready"
        yield
    finally:
        hung.cancel()
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def test_its_commands_work_one_after_another(folder, port):
    at = next(at for at, block in enumerate(BLOCKS) if block.startswith("planogram serve"))
    for block in BLOCKS[:at]:
        shell(block, folder)
    assert (folder / ".planogram" / "runs" / "first" / "bundle" / "bundle.json").is_file()

    (requests,) = BLOCKS[at + 1 :]
    with serving(BLOCKS[at], folder):
        lines = shell(requests.replace(README_PORT, port).replace("\ncurl", "\necho\ncurl"), folder).splitlines()
    search, rerank = map(json.loads, lines)
    assert search["model"]["name"] == "shop-ranker"
    assert len(search["results"]) == 3
    assert not search["degraded"]
    assert [result["index"] for result in rerank["results"]] == [1, 0]
