"""Pictures of an evaluation, as PNG."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
# More slices do not fit on a page.
MOST_SLICES = 40


def reliability_diagram(calibration: dict[str, Any]) -> bytes:
    """Mean grade over mean score, bin by bin: on the diagonal a score is the probability that it says.

    Args:
        calibration: what `reliability` returns.
    """
    figure = _figure(5, 5)
    axes = figure.subplots()
    bins = calibration["bins"]
    axes.plot([0, 1], [0, 1], color="lightgray", linewidth=1)
    axes.plot([row["score"] for row in bins], [row["grade"] for row in bins], marker="o", color="tab:blue")
    axes.set(xlabel="score", ylabel="mean grade, scaled to 0..1", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"expected calibration error {calibration['error']:.4f}", fontsize=10)
    return _png(figure)


def slices_plot(rows: list[Row], metric: str) -> bytes:
    """The mean of each slice with its 95 % interval, and beside it the difference to another bundle where there is one.

    Args:
        rows: what `slice_rows` returns.
        metric: name of the axis.
    """
    shown = rows[:MOST_SLICES]
    compared = "difference" in shown[0]
    figure = _figure(10 if compared else 6, 1.2 + 0.28 * len(shown))
    axes = figure.subplots(1, 2 if compared else 1, sharey=True, squeeze=False)[0]
    names = [f"{row['slice']}: {row['value']} ({row['queries']})" for row in shown]
    _intervals(axes[0], names, [(row["mean"], *row["interval"]) for row in shown], metric)
    if compared:
        changes = [row["difference"] for row in shown]
        _intervals(axes[1], names, [(row["mean"], row["low"], row["high"]) for row in changes], f"change of {metric}")
        axes[1].axvline(0, color="lightgray", linewidth=1)
    axes[0].invert_yaxis()
    return _png(figure)


def differences_plot(differences: npt.NDArray[np.float64], metric: str) -> bytes:
    """Differences of all queries, sorted: how many win, how many lose, and by how much.

    Args:
        differences: (queries,).
        metric: of which.
    """
    figure = _figure(7, 3.5)
    axes = figure.subplots()
    ordered = np.sort(differences)[::-1]
    axes.fill_between(np.arange(len(ordered)), ordered, step="mid", color="tab:blue", alpha=0.6)
    axes.axhline(0, color="gray", linewidth=1)
    axes.set(xlabel="queries, the largest gain first", ylabel=f"change of {metric}")
    return _png(figure)


def _intervals(axes: Any, names: list[str], values: list[tuple[float, float, float]], label: str) -> None:
    means, lows, highs = (np.asarray(column) for column in zip(*values, strict=True))
    # A percentile interval of a skewed mean may leave the mean itself outside.
    errors = np.clip([means - lows, highs - means], 0, None)
    axes.errorbar(means, np.arange(len(names)), xerr=errors, fmt="o", color="tab:blue", capsize=2, markersize=4)
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.set(xlabel=label)
    axes.grid(axis="x", alpha=0.3)
    axes.margins(y=0.5 / len(names))


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
