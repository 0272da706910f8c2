"""What is counted when; and that the dashboard, the alerts and the documents name what there is."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from planogram.errors import OverloadedError
from planogram.serve import metrics
from planogram.serve.batching import TokenBatcher
from planogram.serve.keys import create_key
from planogram.serve.metrics import METRICS, Metric
from planogram.serve.ray_metrics import RayRecorder
from planogram.serve.values import FailedError, LateError, UnavailableError

ROOT = Path(__file__).parents[2]
ALERTS = yaml.safe_load((ROOT / "serve_configs" / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "serve_configs" / "grafana-dashboard.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
RAYS_LABELS = {"application", "deployment", "replica"}


class Recorded:
    def __init__(self):
        self.seen = []

    def record(self, metric, value, labels):
        assert set(labels) == set(metric.labels), metric.name
        self.seen.append((metric, value, dict(labels)))

    def of(self, metric):
        return [(value, labels) for known, value, labels in self.seen if known is metric]


@pytest.fixture
def recorded():
    before = metrics._listener[0]
    recorder = Recorded()
    metrics.listen(recorder)
    yield recorder
    metrics.listen(before)


def test_every_request_is_counted_by_route_and_status(client, recorded):
    client.post("/search", json={"query": "red"})
    client.post("/search", json={"query": ""})
    client.get("/some/secret/path")
    assert [labels for _, labels in recorded.of(metrics.REQUESTS)] == [
        {"route": "/search", "status": "200", "degraded": "no"},
        {"route": "/search", "status": "422", "degraded": "no"},
        {"route": "unmatched", "status": "404", "degraded": "no"},
    ]
    seconds = recorded.of(metrics.REQUEST_SECONDS)
    assert [labels["route"] for _, labels in seconds] == ["/search", "/search", "unmatched"]
    assert all(0 < value < 10 for value, _ in seconds)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OverloadedError("full"), "shed"),
        (LateError("late"), "late"),
        (UnavailableError("gone"), "unavailable"),
        (FailedError("broken"), "failed"),
        (RuntimeError("broken"), "failed"),
    ],
)
def test_a_failed_call_is_counted_by_its_kind(client, backend, recorded, error, kind):
    backend.ranker_error = error
    client.post("/v1/rerank", json={"query": "red", "documents": ["a"]})
    backend.ranker_error, backend.retriever_error = None, error
    client.post("/search", json={"query": "red"})
    steps = [("rank", kind), ("retrieve", kind)]
    assert [(labels["step"], labels["kind"]) for _, labels in recorded.of(metrics.STEP_ERRORS)] == steps
    assert [labels["step"] for _, labels in recorded.of(metrics.STEP_SECONDS)] == ["rank", "retrieve"]


def test_a_degraded_answer_is_counted_with_its_reason(client, backend, recorded):
    backend.ranker_error = LateError("late")
    client.post("/search", json={"query": "red"})
    ((_, labels),) = recorded.of(metrics.REQUESTS)
    assert labels == {"route": "/search", "status": "200", "degraded": "ranker_late"}


def test_cut_documents_are_counted(client, recorded):
    client.post("/v1/rerank", json={"query": "red", "documents": ["a", "b " * 50, "c"]})
    client.post("/v1/rerank", json={"query": "red", "documents": ["a"]})
    assert [value for value, _ in recorded.of(metrics.DOCUMENTS)] == [3, 1]
    assert [value for value, _ in recorded.of(metrics.TRUNCATED)] == [1]


def test_refusals_are_counted_by_cause_and_name(make_client, tmp_path, recorded):
    path = str(tmp_path / "keys.json")
    secret, other = (
        create_key(path, "shop", ["read"], requests_per_s=0.001, burst=1),
        create_key(path, "loader", ["ingest"]),
    )
    client = make_client(auth={"keys_file": path})
    for key in ("", "wrong", other, secret, secret):
        client.get("/v1/models", headers={"X-API-Key": key} if key else {})
    causes = [labels["cause"] for _, labels in recorded.of(metrics.UNAUTHORIZED)]
    assert causes == ["missing", "unknown", "scope"]
    assert recorded.of(metrics.RATE_LIMITED) == [(1.0, {"key": "shop"})]
    assert secret not in str(recorded.seen) and other not in str(recorded.seen)


def compute_twice(engine, executor, budget):
    """Two requests of two pairs of five tokens at once."""
    batches = TokenBatcher(engine.infer, 2, executor, budget)

    async def together():
        tokens = engine.tokenize([("red lamp", "blue lamp now")] * 2)
        return await asyncio.gather(batches.compute(tokens), batches.compute(tokens))

    return asyncio.run(together())


def test_a_pass_says_how_full_it_was_how_long_requests_waited_and_what_it_took(engine, recorded):
    with ThreadPoolExecutor(1) as executor:
        compute_twice(engine, executor, 40)
        compute_twice(engine, executor, 10)
    assert [value for value, _ in recorded.of(metrics.BATCH_FILL)] == [0.5, 1.0, 1.0]
    waits = [value for value, _ in recorded.of(metrics.QUEUE_SECONDS)]
    assert len(waits) == 4 and 0 < waits[2] < waits[3] < 10
    assert len(recorded.of(metrics.BUSY_SECONDS)) == 3
    assert all(value > 0 for value, _ in recorded.of(metrics.BUSY_SECONDS))


def test_the_time_of_a_pass_that_fails_counts_too(engine, recorded, monkeypatch):
    monkeypatch.setattr(engine, "infer", lambda tokens: 1 / 0)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        compute_twice(engine, executor, 40)
    assert len(recorded.of(metrics.BUSY_SECONDS)) == 1


def test_cache_lookups(recorded):
    metrics.count_lookups("scores", hits=3, misses=0)
    metrics.count_lookups("scores", hits=0, misses=2)
    hit, miss = ({"cache": "scores", "result": result} for result in ("hit", "miss"))
    assert recorded.of(metrics.CACHE_LOOKUPS) == [(3, hit), (2, miss)]


def test_zero_is_nothing_to_count(recorded):
    metrics.add(metrics.TRUNCATED, 0)
    assert recorded.seen == []


def test_latencies_from_a_millisecond_to_ten_seconds_are_told_apart():
    assert metrics.SECONDS[0] == 0.001 and metrics.SECONDS[-1] == 10.0
    assert list(metrics.SECONDS) == sorted(metrics.SECONDS)


def test_ray_is_given_every_metric_with_its_labels(monkeypatch):
    made, seen = {}, []

    class Fake:
        def __init__(self, name, about, *rest):
            made[name] = rest

        def inc(self, value, tags):
            tags["route"] = "x"  # as Ray does
            seen.append(("inc", value))

        def observe(self, value, tags):
            seen.append(("observe", value))

    monkeypatch.setattr("ray.serve.metrics.Counter", Fake)
    monkeypatch.setattr("ray.serve.metrics.Histogram", Fake)
    recorder = RayRecorder()
    assert set(made) == {metric.name for metric in METRICS}
    assert made["planogram_step_errors"] == (("step", "kind"),)
    assert made["planogram_step_seconds"] == (list(metrics.SECONDS), ("step",))
    labels = {"step": "rank", "kind": "late"}
    recorder.record(metrics.STEP_ERRORS, 1, labels)
    recorder.record(metrics.STEP_SECONDS, 0.5, {"step": "rank"})
    assert seen == [("inc", 1), ("observe", 0.5)]
    assert labels == {"step": "rank", "kind": "late"}


def test_no_label_is_one_that_ray_sets_itself():
    assert not {label for metric in METRICS for label in metric.labels} & RAYS_LABELS


def exported(metric: Metric) -> set[str]:
    """The names by which Prometheus knows a metric."""
    if metric.buckets:
        return {f"ray_{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {f"ray_{metric.name}_total"}


def test_ray_exports_the_names_that_the_alerts_use():
    from prometheus_client import generate_latest
    from ray._private.telemetry.open_telemetry_metric_recorder import OpenTelemetryMetricRecorder

    recorder = OpenTelemetryMetricRecorder()
    for metric in METRICS:
        if metric.buckets:
            recorder.register_histogram_metric(metric.name, metric.about, list(metric.buckets))
        else:
            recorder.register_counter_metric(metric.name, metric.about)
        recorder.set_metric_value(metric.name, dict.fromkeys(metric.labels, "x"), 1.0)
    names = set(re.findall(r"^(ray_planogram_\w+)\{", generate_latest().decode(), re.MULTILINE))
    assert names == set().union(*(exported(metric) for metric in METRICS))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_there_are(expression):
    names = {name: metric for metric in METRICS for name in exported(metric)}
    used = re.findall(r"(ray_\w+)(?:\{([^}]*)\})?", expression)
    assert used
    for name, matchers in used:
        assert name in names
        labels = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', matchers)
        assert set(labels) <= {*names[name].labels, *RAYS_LABELS}
    sums = re.findall(r"(?:sum|avg) by \(([^)]*)\) \(rate\((ray_\w+)", expression)
    assert len(sums) == len(used) or expression.startswith("absent(")
    for kept, name in sums:
        assert set(split(kept)) - ({"le"} if name.endswith("_bucket") else set()) <= {*names[name].labels, *RAYS_LABELS}
    for joined in re.findall(r"on \(([^)]*)\)", expression):
        assert all(set(split(joined)) <= set(split(kept)) for kept, _ in sums)


def split(labels):
    return [label.strip() for label in labels.split(",")]


def test_every_metric_is_on_the_dashboard_and_in_the_documents():
    document = (ROOT / "docs" / "operations.md").read_text()
    shown = " ".join(EXPRESSIONS)
    for metric in METRICS:
        assert any(name in shown for name in exported(metric)), metric.name
        assert f"`{metric.name}`" in document
    assert [rule["alert"] for rule in ALERTS if f"`{rule['alert']}`" not in document] == []


def test_an_alert_says_what_is_wrong_with_labels_that_it_has():
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"page", "warn", "info"} and rule["for"]
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert named <= set(split(",".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))


def test_panels_do_not_overlap():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
