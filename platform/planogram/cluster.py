"""The only place that starts or joins a Ray cluster, and the environment that every worker needs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planogram.config import ClusterConfig
from planogram.errors import ClusterError

# All must be set before Ray starts. The first two decide how fast Ray Serve answers.
SERVE_FLAGS = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # A proxy that takes longer to start is killed; Ray's five seconds are too short for a machine with other work.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "50",
    # Ray looks at its replicas ten times a second, which takes a tenth of a small machine from their inference.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # By gRPC the router learns from an answer what a replica had to do before it, and sends too much to another.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
    # A replica is no batch job, as Ray takes every worker to be.
    "RAY_worker_niceness": "0",
}


def worker_environment(cpus_per_worker: int = 1, gpu: bool = False) -> dict[str, str]:
    """Environment variables of a training or inference worker.

    Args:
        cpus_per_worker: threads of one worker.
        gpu: whether the worker has a GPU.
    """
    environment = {
        "OMP_NUM_THREADS": str(cpus_per_worker),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    }
    if not gpu:
        environment["DS_ACCELERATOR"] = "cpu"
    return environment


@contextmanager
def connect(config: ClusterConfig, *, serve: bool = False) -> Iterator[None]:
    """Join the configured cluster or start a local one, which ends with the block.

    A cluster that was joined, or that this process had already, is left running.

    Args:
        config: which cluster.
        serve: start a local cluster with the flags of a fast Ray Serve.

    Raises:
        ClusterError: the cluster cannot be reached, or its size was given although it runs already.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    address = config.address or os.environ.get("RAY_ADDRESS")
    if address and config.num_cpus:
        raise ClusterError(
            f"cluster.num_cpus={config.num_cpus} with the running cluster {address}",
            remedy="drop num_cpus: a running cluster has its size",
        )
    _secure()
    # That a local cluster asks for a token is what is meant here, and no warning.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    environment = {**worker_environment(), **(SERVE_FLAGS if serve else {})}
    os.environ.update({key: value for key, value in environment.items() if key not in os.environ})
    try:
        if address:
            ray.init(address=address, log_to_driver=config.show_worker_output, logging_level="WARNING")
        else:
            ray.init(
                num_cpus=config.num_cpus,
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                log_to_driver=config.show_worker_output,
                logging_level="WARNING",
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Ray cluster at {address or 'this machine'}: {error}",
            remedy="start one with `ray start --head`, mend cluster.address, or leave it out for a local cluster",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def quiet_data() -> Iterator[None]:
    """Let Ray Data show a progress bar on a terminal, and otherwise only errors, while the block runs."""
    import sys

    from ray.data import DataContext

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, logger.level
    context.enable_progress_bars = sys.stderr.isatty()
    context.print_on_execution_start = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start, level = before
        logger.setLevel(level)


def _secure() -> None:
    """Make the token file before Ray does, so that only its owner can read it.

    A local `ray.init` turns token authentication on by itself; RAY_AUTH_MODE must be left to it, since Ray reads that
    variable once, when it is imported.
    """
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return
    if not token.exists():
        import secrets

        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    elif token.stat().st_mode & 0o077:
        token.chmod(0o600)
