"""Records a run in MLflow: its configuration, its curves while it runs, and what came out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from planogram.config import TrackingConfig
from planogram.registry.store import tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow refuses names with '@'.
_AT = str.maketrans({"@": "_"})


class Tracker:
    """One MLflow run. `observe` may be called often; each point is recorded once."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self._seen = {"train": 0, "valid": 0}

    def observe(self, progress: dict[str, Any]) -> None:
        """Record the points of a progress report that are new."""
        from mlflow.entities import Metric

        metrics = []
        for part, seen in self._seen.items():
            for entry in progress[part]:
                if entry["step"] > seen:
                    self._seen[part] = entry["step"]
                    metrics += [
                        Metric(f"{part}_{key}".translate(_AT), value, 0, entry["step"])
                        for key, value in entry.items()
                        if key != "step"
                    ]
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def finish(self, metrics: dict[str, float]) -> None:
        """Record final metrics."""
        for key, value in metrics.items():
            self._client.log_metric(self.run_id, key.translate(_AT), value)


@contextmanager
def track(config: TrackingConfig, run_name: str, params: dict[str, Any]) -> Iterator[Tracker]:
    """Open an MLflow run, and close it as finished or failed.

    Args:
        config: experiment and server.
        run_name: shown in MLflow.
        params: nested configuration; recorded under dotted names.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client = MlflowClient(tracking_uri=config.uri or tracking_uri())
    experiment = client.get_experiment_by_name(config.experiment)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(config.experiment)
    run_id = client.create_run(experiment_id, run_name=run_name).info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in _flat(params).items()])
    try:
        yield Tracker(client, run_id)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
