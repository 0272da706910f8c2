"""A picture of one product: its prices over time, what set them, and the demand that the newest expects."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from planogram.pricing.decision import cause
from planogram.pricing.history import Priced

POINTS = 200
# How far the curve is drawn beyond all prices that matter.
MARGIN = 1.15
# Quantiles of the demand's draws.
INTERVAL = (0.1, 0.9)


def picture(decisions: Sequence[Priced]) -> bytes:
    """A PNG: the demand curve of the newest decision with its 80 % interval, and all prices within their bounds.

    Args:
        decisions: of one product, oldest first; at least one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    curve, prices = figure.subplots(1, 2)
    figure.suptitle(decisions[-1].item.product_id)
    _demand(curve, decisions[-1])
    _prices(prices, decisions)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _demand(axes: Any, newest: Priced) -> None:
    """Units at each price, and what is earned by them."""
    marks = [newest.item.current_price, newest.price, *(newest.bounds or ()), newest.curve.reference]
    known = [mark for mark in marks if mark is not None and np.isfinite(mark) and mark > 0]
    at = np.geomspace(min(known) / MARGIN, max(known) * MARGIN, POINTS)
    units = newest.curve.units(at)
    axes.plot(at, units, color="tab:blue", label="units per period")
    if len(newest.curve.draws):
        axes.fill_between(at, *np.quantile(newest.curve.units_draws(at), INTERVAL, axis=0), color="tab:blue", alpha=0.2)
    if newest.bounds:
        axes.axvspan(*newest.bounds, color="tab:green", alpha=0.08, label="allowed")
    if newest.item.current_price:
        axes.axvline(newest.item.current_price, color="grey", linestyle=":", label="price before")
    if newest.price:
        axes.axvline(newest.price, color="black", label="price")
    cost = newest.item.cost
    earned = axes.twinx()
    name = "revenue" if cost is None else "profit"
    earned.plot(at, (at - (cost or 0.0)) * units, color="tab:orange", label=name)
    earned.set_ylabel(f"{name} per period")
    axes.set(xlabel="price", ylabel="units per period", title=f"demand, elasticity {newest.curve.elasticity:.2f}")
    axes.legend(handles=[*axes.get_legend_handles_labels()[0], *earned.get_legend_handles_labels()[0]], fontsize=8)


def _prices(axes: Any, decisions: Sequence[Priced]) -> None:
    """Each price where it was decided, in the colour of what set it."""
    times = [datetime.fromisoformat(decision.at) for decision in decisions]
    prices = np.asarray([np.nan if d.price is None else d.price for d in decisions])
    bounds = np.asarray([d.bounds or (np.nan, np.nan) for d in decisions])
    axes.step(times, prices, where="post", color="grey", linewidth=0.8)
    axes.fill_between(times, bounds[:, 0], bounds[:, 1], step="post", color="tab:green", alpha=0.08)
    causes = np.asarray([cause(decision.rule) for decision in decisions])
    for name in dict.fromkeys(causes):
        rows = np.flatnonzero(causes == name)
        axes.plot([times[row] for row in rows], prices[rows], "o", label=name, markersize=5)
    axes.set(title="prices and what set them", ylabel="price")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(fontsize=8)
