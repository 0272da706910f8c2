"""Figures of a load: percentiles, rates, shares."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from planogram.benchmark.load.plan import BROKEN, HIT, NO_CACHE, TIMEOUT, Load, Sample

#: statuses by which a server sheds load
SHED = (429, 503)
# A server is itself again when so many answers in a row are as fast as they were.
CALM = 5
NAMES = {BROKEN: "connection", TIMEOUT: "timeout"}
Figures = dict[str, Any]


def summarize(load: Load, pairs: int) -> Figures:
    """What clients saw.

    Args:
        load: with or without probes, which do not count here.
        pairs: of one request.

    Returns:
        `requests`; `answered_per_s` of those with 2xx, over the time to the last answer, and `pairs_per_s` of those
        that are not fallbacks; `p50_ms`, `p95_ms` and `p99_ms` of all with 2xx (None: there is none), and the share of
        them that is `degraded` (None: none is); `success` and `shed` (429 and 503), shares of all; among shed ones
        `retry_after`, the share that says when to come again; `wrong`, how many bodies; `hit_rate` (None: no response
        says); `stages`, shares of the time that clients waited; `statuses`, status -> requests; `generator_cpu`, cores
        that the generator took.
    """
    samples = [sample for sample in load.samples if not sample.probe]
    answered = [sample for sample in samples if sample.answered]
    shed = [sample for sample in samples if sample.status in SHED]
    per_s = len(answered) / load.wall_s if load.wall_s else 0.0
    degraded = sum(sample.degraded for sample in answered)
    return {
        "requests": len(samples),
        "answered_per_s": per_s,
        "pairs_per_s": (len(answered) - degraded) / load.wall_s * pairs if load.wall_s else 0.0,
        **percentiles(answered),
        "degraded": _share(degraded, len(answered)) if degraded else None,
        "success": _share(len(answered), len(samples)),
        "shed": _share(len(shed), len(samples)),
        "retry_after": _share(sum(sample.retry_after for sample in shed), len(shed)),
        "wrong": sum(sample.wrong for sample in samples),
        "hit_rate": hit_rate(answered),
        "stages": stage_shares(answered),
        "statuses": dict(sorted(Counter(status_name(sample.status) for sample in samples).items())),
        "generator_cpu": load.cpu_s / load.wall_s if load.wall_s else 0.0,
    }


def percentiles(samples: Sequence[Sample]) -> dict[str, float | None]:
    """`p50_ms`, `p95_ms` and `p99_ms`, linear between neighbours; None without samples."""
    names = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}
    if not samples:
        return dict.fromkeys(names)
    found = np.percentile([1000 * sample.seconds for sample in samples], list(names.values()))
    return dict(zip(names, map(float, found), strict=True))


def hit_rate(samples: Sequence[Sample]) -> float | None:
    """Of the responses that say whether a cache had them."""
    said = [sample.cache for sample in samples if sample.cache != NO_CACHE]
    return _share(sum(cache == HIT for cache in said), len(said))


def stage_shares(samples: Sequence[Sample]) -> dict[str, float]:
    """Stage -> share of the clients' time, and `rest`; of the samples that say their stages."""
    said = [sample for sample in samples if sample.stages]
    total_ms = sum(1000 * sample.seconds for sample in said)
    names = dict.fromkeys(name for sample in said for name in sample.stages)
    shares = {name: sum(sample.stages.get(name, 0.0) for sample in said) / total_ms for name in names}
    return shares | ({"rest": 1 - sum(shares.values())} if shares else {})


def normal_after_s(load: Load, load_s: float, usual_ms: float) -> float | None:
    """Seconds from the end of the load until probes are normal: `CALM` in a row, 2xx, within twice the usual time.

    Args:
        load: with probes.
        load_s: when the load ended.
        usual_ms: p99 of one client alone.

    Returns:
        When the first of them was sent; None: that did not happen while it was watched.
    """
    probes = sorted((sample for sample in load.samples if sample.probe), key=lambda sample: sample.due_s)
    calm = [probe.answered and 1000 * probe.seconds <= 2 * usual_ms for probe in probes]
    for first in range(len(probes) - CALM + 1):
        if all(calm[first : first + CALM]):
            return max(0.0, probes[first].due_s - load_s)
    return None


def timeline(load: Load) -> list[Figures]:
    """By the second in which requests were due: `second`, how many were `answered` and `failed`, `p99_ms`."""
    seconds: dict[int, list[Sample]] = {}
    for sample in load.samples:
        seconds.setdefault(int(sample.due_s), []).append(sample)
    return [
        {
            "second": second,
            "answered": sum(sample.answered for sample in samples),
            "failed": sum(not sample.answered for sample in samples),
            "p99_ms": percentiles([sample for sample in samples if sample.answered])["p99_ms"],
        }
        for second, samples in sorted(seconds.items())
    ]


def middle(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over rounds; statuses and counts are sums. What no round has stays None."""
    return {name: _middle(name, [figures[name] for figures in rounds]) for name in rounds[0]}


def _middle(name: str, values: list[Any]) -> Any:
    if name in ("requests", "wrong"):
        return sum(values)
    if name == "statuses":
        return dict(sorted(sum(map(Counter, values), Counter()).items()))
    if isinstance(values[0], dict):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _median([value.get(key) for value in values]) for key in keys}
    return _median(values)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def status_name(status: int) -> str:
    """A status as reports show it."""
    return NAMES.get(status, str(status))


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
