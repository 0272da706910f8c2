import os
import re
import subprocess
from pathlib import Path

import pytest

from planogram.serve.haproxy import environment, free_ports, isolated

# As Ray Serve writes it, cut short.
GENERATED = """defaults
    mode http
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind {host}:8000
    log global
backend default
    server a 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Run the launcher before a program that only prints its arguments."""
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", "/bin/echo")
    launcher = environment(tmp_path)["RAY_SERVE_HAPROXY_BINARY_PATH"]

    def launch(host):
        path = tmp_path / "generated.cfg"
        path.write_text(GENERATED.format(host=host))
        command = [launcher, "-db", "-f", str(path), "-sf", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["-db", "-f", str(path), "-sf", "1"]
        return path.read_text()

    return launch


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_every_listener_is_on_loopback(launched, host):
    text = launched(host)
    assert re.findall(r"bind (\S+)", text) == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]


def test_headers_that_steer_ray_are_removed_once_at_the_front(launched):
    front = launched("127.0.0.1").split("frontend http_frontend")[1].split("backend")[0]
    assert front.count("del-header x-request-timeout-seconds") == 1
    assert "timeout http-request 10s" in front
    assert launched("127.0.0.1").count("del-header x-request-id if !{") == 1


def test_ray_still_writes_what_the_launcher_mends():
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

    binds = re.findall(r"^ *bind (\S+)", HAPROXY_CONFIG_TEMPLATE, re.MULTILINE)
    assert binds[0].startswith(":{{") and binds[-1].startswith("*:{{")
    assert "\nfrontend http_frontend\n    bind {{" in HAPROXY_CONFIG_TEMPLATE


def test_the_environment_ends_with_the_block(monkeypatch):
    monkeypatch.setenv("RAY_SERVE_HAPROXY_STATS_PORT", "1234")
    monkeypatch.delenv("RAY_SERVE_HAPROXY_SOCKET_PATH", raising=False)
    with isolated():
        folder = Path(os.environ["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ["RAY_SERVE_HAPROXY_STATS_PORT"] == "1234"
    assert not folder.exists()
    assert "RAY_SERVE_HAPROXY_SOCKET_PATH" not in os.environ
    assert os.environ["RAY_SERVE_HAPROXY_STATS_PORT"] == "1234"


def test_ports_are_distinct():
    assert len(set(free_ports(5))) == 5
