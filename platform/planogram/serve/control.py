"""A running Ray Serve seen and changed from the process that started it: its replicas, and a new config for them."""

import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

from planogram.errors import ClusterError, NotFoundError
from planogram.serve.check import check

# Of Ray Serve's actors.
NAMESPACE = "serve"


@dataclass(frozen=True)
class Replica:
    """One process of a deployment.

    Attributes:
        name: unique, also over restarts.
        state: of Ray Serve, such as `RUNNING`.
        pid: None while it starts.
        actor: its name as an actor of Ray; None while it starts.
    """

    name: str
    deployment: str
    state: str
    pid: int | None
    actor: str | None = None


def replicas() -> list[Replica]:
    """Every replica of every application.

    Raises:
        ClusterError: Ray Serve does not run here.
    """
    return listed(_client().get_serve_details())


def listed(details: dict[str, Any]) -> list[Replica]:
    """The replicas in what Ray Serve's controller says of itself."""
    return [
        Replica(
            replica["replica_id"], deployment, _text(replica["state"]), replica.get("pid"), replica.get("actor_name")
        )
        for application in details["applications"].values()
        for deployment, found in application["deployments"].items()
        for replica in found["replicas"]
    ]


def _text(state: Any) -> str:
    """An enumeration of strings says another text than its value."""
    return str(state.value if isinstance(state, Enum) else state)


def block(name: str, seconds: float) -> None:
    """Let the event loop of a replica stand still; returns at once. For drills: nothing can end it but a new process.

    Raises:
        NotFoundError: no replica has this name.
        ClusterError: Ray Serve does not run here.
    """
    import ray

    actors = {replica.name: replica.actor for replica in replicas() if replica.actor}
    if name not in actors:
        raise NotFoundError(f"no replica {name}", allowed=", ".join(actors))
    # An actor with a loop runs there whatever it is called for.
    ray.get_actor(actors[name], namespace=NAMESPACE).__ray_call__.remote(_sleep, seconds)


def _sleep(_: Any, seconds: float) -> None:
    time.sleep(seconds)


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
