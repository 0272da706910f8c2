"""A running Ray Serve seen and changed from the process that started it: its replicas, and a new config for them."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from planogram.errors import ClusterError
from planogram.serve.check import check


@dataclass(frozen=True)
class Replica:
    """One process of a deployment.

    Attributes:
        name: unique, also over restarts.
        state: of Ray Serve, such as `RUNNING`.
        pid: None while it starts.
    """

    name: str
    deployment: str
    state: str
    pid: int | None


def replicas() -> list[Replica]:
    """Every replica of every application.

    Raises:
        ClusterError: Ray Serve does not run here.
    """
    return listed(_client().get_serve_details())


def listed(details: dict[str, Any]) -> list[Replica]:
    """The replicas in what Ray Serve's controller says of itself."""
    return [
        Replica(replica["replica_id"], deployment, _text(replica["state"]), replica.get("pid"))
        for application in details["applications"].values()
        for deployment, found in application["deployments"].items()
        for replica in found["replicas"]
    ]


def _text(state: Any) -> str:
    """An enumeration of strings says another text than its value."""
    return str(state.value if isinstance(state, Enum) else state)


def redeploy(values: dict[str, Any]) -> None:
    """Hand Ray Serve another config, and return at once: replicas whose arguments changed are replaced in turn.

    Raises:
        ConfigError: the config is wrong.
        ClusterError: Ray Serve does not run here.
    """
    from ray.serve.schema import ServeDeploySchema

    _client().deploy_apps(ServeDeploySchema.model_validate(check(values)), _blocking=False)


def _client() -> Any:
    # The public status names no process, and the public API deploys no config.
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        raise ClusterError("Ray Serve does not run", remedy="start it with planogram.serve.launch.serving")
    return client
