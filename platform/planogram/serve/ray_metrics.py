"""Figures through Ray Serve, which adds the application, the deployment and the replica, and exports to Prometheus."""

from collections.abc import Mapping
from typing import Any

from planogram.serve import metrics
from planogram.serve.metrics import Metric


class RayRecorder:
    """Makes Ray's counters and histograms for all metrics. For a process that is a replica."""

    def __init__(self) -> None:
        from ray.serve.metrics import Counter, Histogram

        self._metrics: dict[str, Any] = {
            metric.name: Histogram(metric.name, metric.about, list(metric.buckets), metric.labels)
            if metric.buckets
            else Counter(metric.name, metric.about, metric.labels)
            for metric in metrics.METRICS
        }

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Hand a figure to Ray, which sends it on in the background."""
        made = self._metrics[metric.name]
        # Ray writes into the labels that it is given.
        (made.observe if metric.buckets else made.inc)(value, dict(labels))


def observe_replica() -> None:
    """Export this process's figures. Replicas call it as they start."""
    metrics.listen(RayRecorder())
