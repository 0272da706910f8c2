"""What is better: of one metric an order, of several a front that none beats."""

from collections.abc import Mapping, Sequence

from planogram.config.tune import Mode
from planogram.tune.trial import Trial

Metrics = Mapping[str, Mode]


def loss(value: float, mode: Mode) -> float:
    """The value with its sign turned where more is better, so that less is always better."""
    return -value if mode == "max" else value


def losses(trial: Trial, metrics: Metrics) -> tuple[float, ...]:
    """Of a finished trial, in the order of the metrics."""
    assert trial.metrics is not None
    return tuple(loss(trial.metrics[name], mode) for name, mode in metrics.items())


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one is nowhere worse than the other, and somewhere better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def ranked(trials: Sequence[Trial], metrics: Metrics) -> list[Trial]:
    """The finished trials from the best to the worst.

    Of several metrics those that fewest others beat in all come first (Fonseca & Fleming 1993), and among alike ones
    those with the better first metric.
    """
    points = {trial.number: losses(trial, metrics) for trial in trials if trial.state == "finished"}
    beaten = {number: sum(dominates(other, point) for other in points.values()) for number, point in points.items()}
    finished = [trial for trial in trials if trial.number in points]
    return sorted(finished, key=lambda trial: (beaten[trial.number], points[trial.number], trial.number))


def front(trials: Sequence[Trial], metrics: Metrics) -> list[Trial]:
    """The finished trials that none beats in all metrics, by the first metric."""
    points = {trial.number: losses(trial, metrics) for trial in trials if trial.state == "finished"}
    return [
        trial
        for trial in ranked(trials, metrics)
        if not any(dominates(other, points[trial.number]) for other in points.values())
    ]


def winner(trials: Sequence[Trial], metrics: Metrics) -> Trial | None:
    """The trial of the front that is best in the first metric; None where none has finished."""
    best = front(trials, metrics)
    return min(best, key=lambda trial: losses(trial, metrics)) if best else None
