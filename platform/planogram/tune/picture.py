"""A campaign as one PNG: parallel coordinates, learning curves, importance, and of two metrics the front."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from planogram.tune.trial import Trial

COLOURS = "viridis"
# A key whose largest value is so many times the smallest is drawn on a log scale.
LOG_FROM = 30


def picture(result: dict[str, Any], trials: Sequence[Trial]) -> bytes:
    """A PNG of a campaign.

    Args:
        result: what `report.summary` returns.
        trials: of the ledger.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    finished = [trial for trial in trials if trial.state == "finished" and trial.metrics]
    _parallel(figure.add_subplot(grid[0, :]), result, finished)
    left, right = (figure.add_subplot(grid[1, column]) for column in range(2))
    _curves(left, result, trials)
    if len(result["metrics"]) > 1:
        _front(right, result, trials)
    else:
        _importance(right, result)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _parallel(axes: Any, result: dict[str, Any], trials: Sequence[Trial]) -> None:
    """A line per finished trial through its values and metrics, each on an axis of its own (Inselberg 1985)."""
    axes.set_title("finished trials: values and metrics, the first metric in colour")
    if not trials:
        axes.text(0.5, 0.5, "no trial has finished", ha="center")
        return
    keys = [*trials[0].params, *result["metrics"]]
    columns = [_column([_of(trial, key) for trial in trials]) for key in keys]
    heights = np.asarray([column for column, _ in columns])
    main = len(trials[0].params)
    # The best last, so that its line lies above the others.
    better = heights[main] if result["metrics"][keys[main]] == "max" else 1 - heights[main]
    from matplotlib import colormaps

    for place in np.argsort(better):
        axes.plot(heights[:, place], color=colormaps[COLOURS](better[place]), alpha=0.8)
    axes.set_xticks(range(len(keys)), keys)
    axes.set_yticks([])
    for place, (_, ends) in enumerate(columns):
        axes.axvline(place, color="lightgrey", linewidth=0.8, zorder=0)
        for height, text in ends:
            axes.annotate(text, (place, height), textcoords="offset points", xytext=(4, 2), fontsize=7)


def _of(trial: Trial, key: str) -> Any:
    return trial.params[key] if key in trial.params else (trial.metrics or {})[key]


def _column(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights 0..1 of the values of one axis, and what its ticks say."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        texts = [json.dumps(value) for value in values]
        names = sorted(set(texts))
        scale = max(1, len(names) - 1)
        return [names.index(text) / scale for text in texts], [(at / scale, name) for at, name in enumerate(names)]
    low, high = min(values), max(values)
    if low == high:
        return [0.5] * len(values), [(0.5, f"{low:.4g}")]
    ends = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    if low > 0 and high / low >= LOG_FROM:
        return [float(np.log(value / low) / np.log(high / low)) for value in values], ends
    return [(value - low) / (high - low) for value in values], ends


def _curves(axes: Any, result: dict[str, Any], trials: Sequence[Trial]) -> None:
    """The first metric of every trial over its steps."""
    metric = next(iter(result["metrics"]))
    best = result["best"][0]["number"] if result["best"] else None
    colours = {"finished": "tab:blue", "stopped": "tab:orange", "failed": "tab:red", "running": "grey"}
    named: set[str] = set()
    for trial in trials:
        curve = trial.curve(metric)
        style = {"color": colours[trial.state], "linewidth": 2.5 if trial.number == best else 0.9}
        axes.plot(
            [step for step, _ in curve],
            [value for _, value in curve],
            marker="o",
            markersize=2.5,
            label=None if trial.state in named else trial.state,
            **style,
        )
        named.add(trial.state)
    axes.set(title="learning curves, the best one thick", xlabel="optimizer steps", ylabel=f"validation {metric}")
    axes.grid(alpha=0.3)
    if trials:
        axes.legend(fontsize=8)


def _importance(axes: Any, result: dict[str, Any]) -> None:
    metric, shares = next(iter(result["importance"].items()), ("", {}))
    axes.set_title(f"what {metric} depends on" if shares else "importance: too few trials have finished")
    axes.barh(list(shares)[::-1], list(shares.values())[::-1], color="tab:green")
    axes.set(xlabel="share")


def _front(axes: Any, result: dict[str, Any], trials: Sequence[Trial]) -> None:
    """The first two metrics of every finished trial, and the line of those that none beats."""
    first, second = list(result["metrics"])[:2]
    places = {trial.number: (trial.metrics[second], trial.metrics[first]) for trial in trials if trial.metrics}
    for number, place in places.items():
        axes.scatter(*place, color="tab:blue")
        axes.annotate(str(number), place, textcoords="offset points", xytext=(4, 3), fontsize=7)
    best = sorted(places[number] for number in result["front"] if number in places)
    axes.plot([x for x, _ in best], [y for _, y in best], color="tab:orange", linewidth=1)
    axes.set(title="trials that none beats in all metrics", xlabel=second, ylabel=first)
    axes.grid(alpha=0.3)
