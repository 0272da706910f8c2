"""How many pairs an engine scores in a second, on this machine."""

import time
from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.progress import track

from planogram.config import GatePolicy, LatencyRule
from planogram.engines.base import Engine, score
from planogram.engines.load import load_engine
from planogram.evaluate.judged import Judged


def pairs_per_s(rule: LatencyRule, policy: GatePolicy, measured: Sequence[Judged]) -> list[float]:
    """Median pairs per second of each bundle, on the first pairs of its own examples, tokenization included.

    Bundles take turns, so that a machine that slows down slows all of them; the first round warms up.

    Args:
        rule: how many pairs and rounds.
        policy: size of a batch.
        measured: the bundles, each with the engine that scored it.
    """
    engines = [load_engine(each.version.path, each.config.engine) for each in measured]
    times: list[list[float]] = [[] for _ in measured]
    for number in track(range(rule.rounds + 1), "measuring speed", console=Console(stderr=True), transient=True):
        for engine, each, own in zip(engines, measured, times, strict=True):
            seconds = _seconds(engine, each, rule.pairs, policy.batch_tokens)
            if number:
                own.append(seconds)
    counts = [min(rule.pairs, len(each.examples)) for each in measured]
    return [count / median(own) for count, own in zip(counts, times, strict=True)]


def _seconds(engine: Engine, judged: Judged, pairs: int, batch_tokens: int) -> float:
    began_s = time.perf_counter()
    score(engine, judged.examples.pairs[:pairs], batch_tokens, judged.examples.features.iloc[:pairs])
    return time.perf_counter() - began_s
