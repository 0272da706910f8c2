"""`planogram serve`: start or join a cluster, deploy a Ray Serve config file, and stay until it ends."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from planogram import storage
from planogram.cluster import connect
from planogram.config import ClusterConfig
from planogram.errors import ClusterError, ConfigError
from planogram.section import read_yaml
from planogram.serve.check import IMPORT_PATH, LOOPBACK, check, is_loopback
from planogram.serve.haproxy import isolated

logger = logging.getLogger(__name__)

POLL_S = 0.25
MAX_MESSAGE_CHARS = 2000


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: where it listens, without a slash at its end.
        applications: name -> route prefix.
    """

    url: str
    applications: dict[str, str]


def run(
    config: str | dict[str, Any],
    cluster: ClusterConfig | None = None,
    on_ready: Callable[[Server], None] = lambda server: print(f"serving at {server.url}", flush=True),  # noqa: T201
) -> None:
    """Serve until Ctrl-C or SIGTERM. For the main thread of a process.

    Args:
        config: a Ray Serve config file, or what stands in one.
        cluster: where; by default RAY_ADDRESS, else a local cluster.
        on_ready: called once, when every application answers; by default prints the URL.

    Raises:
        ConfigError: the config is wrong, or binds an address that is not loopback although there are no API keys.
        ClusterError: the cluster cannot be used, or an application does not start.
    """
    with serving(config, cluster) as server:
        on_ready(server)
        wait_for_interrupt()


def wait_for_interrupt() -> None:
    """Return at Ctrl-C or SIGTERM. For the main thread of a process."""
    # A shell starts background jobs with SIGINT ignored, and service managers send SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        logger.info("stopped")


@contextmanager
def serving(
    config: str | dict[str, Any], cluster: ClusterConfig | None = None, start_timeout_s: float = 300
) -> Iterator[Server]:
    """Serve while the block runs: yields when every application answers `/readyz`.

    Raises:
        ConfigError, ClusterError: as `run`.
    """
    values = check(read_yaml(config) if isinstance(config, str) else config)
    cluster = cluster or ClusterConfig()
    host = str(values["http_options"]["host"])
    front = None if is_loopback(host) else host
    with ExitStack() as stack:
        if _starts_here(cluster):
            os.environ.setdefault("PLANOGRAM_HOME", storage.home())
            stack.enter_context(isolated(front))
            if front:
                # Ray would bind the replicas' own ports, its fallback proxy and gRPC there as well.
                values = {**values, "http_options": {**values["http_options"], "host": LOOPBACK}}
        elif front:
            logger.warning("on a cluster that runs already, Ray Serve binds all of its ports to %s: close them", front)
        stack.enter_context(connect(cluster, serve=True))
        yield stack.enter_context(_deployed(values, start_timeout_s, host))


def _reachable(host: str) -> str:
    """A host as a URL names it, to reach it from this machine."""
    here = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104 - not bound
    return f"[{here}]" if ":" in here else here


def _starts_here(cluster: ClusterConfig) -> bool:
    import ray

    return not (ray.is_initialized() or cluster.address or os.environ.get("RAY_ADDRESS"))


@contextmanager
def _deployed(values: Mapping[str, Any], start_timeout_s: float, host: str = LOOPBACK) -> Iterator[Server]:
    from pydantic import ValidationError
    from ray.exceptions import RayError
    from ray.serve import shutdown

    # What `serve run` calls: the public API has no way to deploy a config with its `deployments`.
    from ray.serve._private.api import serve_start
    from ray.serve.schema import ServeDeploySchema

    try:
        schema = ServeDeploySchema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"the config is not one of Ray Serve: {error}", remedy="mend the keys named above") from None
    http = schema.http_options
    server = Server(
        f"http://{_reachable(host)}:{http.port}",
        {entry.name: entry.route_prefix or "/" for entry in schema.applications},
    )
    ours = [entry.name for entry in schema.applications if entry.import_path == IMPORT_PATH]
    try:
        try:
            client = serve_start(http_options=http.model_dump(), proxy_location=schema.proxy_location)
        except (RayError, TimeoutError) as error:
            raise ClusterError(
                f"Ray Serve's proxy does not start on port {http.port}: {error}",
                remedy="free the port and the machine, or look into the logs below /tmp/ray/session_latest/logs/serve",
            ) from error
        client.deploy_apps(schema, _blocking=False)
        _wait_until_ready(server, ours, time.monotonic() + start_timeout_s)
        yield server
    finally:
        shutdown()


def _wait_until_ready(server: Server, ours: Sequence[str], deadline_s: float) -> None:
    """Wait until every application runs, and those with our routes answer `/readyz`.

    Raises:
        ClusterError: one cannot start, in the words of what stopped it; or the time is over.
    """
    waiting = {f"{server.url}{server.applications[name].rstrip('/')}/readyz": "not asked yet" for name in ours}
    with httpx.Client(timeout=10) as client:
        while not _all_run(server.applications) or waiting:
            waiting = {url: answer for url in waiting if (answer := _answer(client, url)) is not None}
            if time.monotonic() > deadline_s:
                answers = [f"{url}: {answer}" for url, answer in waiting.items()]
                raise ClusterError(
                    "not ready in time: " + "\n".join([_progress(), *answers]), remedy="look into the replicas' logs"
                )
            time.sleep(POLL_S)


def _all_run(names: Iterable[str]) -> bool:
    from ray.serve import status
    from ray.serve.schema import ApplicationStatus

    applications = status().applications
    for name in names:
        if name in applications and applications[name].status == ApplicationStatus.DEPLOY_FAILED:
            raise ClusterError(
                f"the application {name} does not start: {essence(_progress())}", remedy="mend what is named above"
            )
    return all(name in applications and applications[name].status == ApplicationStatus.RUNNING for name in names)


def _answer(client: httpx.Client, url: str) -> str | None:
    """What a URL answers that is not OK."""
    try:
        response = client.get(url)
    except httpx.TransportError as error:
        return str(error)
    return None if response.status_code == httpx.codes.OK else response.text


def _progress() -> str:
    from ray.serve import status

    lines = []
    for name, application in status().applications.items():
        lines.append(f"{name} is {application.status.value}: {application.message}")
        lines += [
            f"{key} is {part.status.value}: {part.message}"
            for key, part in application.deployments.items()
            if part.status.value != "HEALTHY"
        ]
    return "\n".join(lines)


def essence(message: str) -> str:
    """What a user needs of Ray's message: from the project's own error on, where there is one."""
    marker = "planogram.errors."
    start = message.find(marker)
    text = message[start + len(marker) :] if start >= 0 else message
    return text.strip()[:MAX_MESSAGE_CHARS]
