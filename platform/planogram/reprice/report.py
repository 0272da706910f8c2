"""What a repricing would do: changes, what bound them, and their expected effect with its uncertainty."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision, cause
from planogram.pricing.item import PriceItem

Floats = npt.NDArray[np.float64]
# Of the members of the demand model.
INTERVAL = (0.1, 0.9)
MEASURES = ("units", "revenue", "profit")


@dataclass(frozen=True)
class Effect:
    """What is expected of all products together, per period.

    Attributes:
        before, after: units, revenue and profit (of products whose cost is known) at current and at new prices.
        changes: (draws, 3) of the sums under each member of the demand model, which errs alike for all products; (0, 3)
            without members.
    """

    before: Floats
    after: Floats
    changes: Floats

    @classmethod
    def of(
        cls, items: Sequence[PriceItem], curves: Sequence[DemandCurve | None], decisions: Sequence[Decision]
    ) -> "Effect":
        """The effect of decisions; products without a curve or a price do not count."""
        sums, changes = np.zeros((2, 3)), None
        for item, curve, decision in zip(items, curves, decisions, strict=True):
            if curve is None or decision.price is None or decision.current_price is None:
                continue
            prices = np.asarray([decision.current_price, decision.price])
            margins = np.stack([np.ones(2), prices, prices - item.cost if item.cost is not None else np.zeros(2)])
            drawn = curve.units_draws(prices)
            units = drawn.mean(axis=0) if len(drawn) else curve.units(prices)
            sums += (margins * units).T
            change = drawn[:, 1, None] * margins[:, 1] - drawn[:, 0, None] * margins[:, 0]
            changes = change if changes is None else changes + change
        return cls(sums[0], sums[1], np.zeros((0, 3)) if changes is None else changes)


def report(decisions: Sequence[Decision], effect: Effect) -> dict[str, Any]:
    """Counts and expectations; see `run.run`."""
    changed = [decision for decision in decisions if decision.price != decision.current_price]
    ratios = [
        decision.price / decision.current_price for decision in changed if decision.price and decision.current_price
    ]
    return {
        "products": len(decisions),
        "changed": len(changed),
        "raised": sum(ratio > 1 for ratio in ratios),
        "mean_change": float(np.mean(ratios) - 1) if ratios else 0.0,
        "rules": dict(Counter(cause(decision.rule) for decision in decisions).most_common()),
        "expected": {name: _expected(effect, place) for place, name in enumerate(MEASURES)},
    }


def _expected(effect: Effect, place: int) -> dict[str, Any]:
    changes = effect.changes[:, place]
    bounds = np.quantile(changes, INTERVAL).tolist() if len(changes) else None
    before, after = float(effect.before[place]), float(effect.after[place])
    return {"before": before, "after": after, "change": after - before, "interval": bounds}


def plot(decisions: Sequence[Decision], effect: Effect) -> bytes:
    """A PNG: how far prices move, what set them, and the expected change with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4.5), layout="constrained")
    moves, rules, gains = figure.subplots(1, 3)
    ratios = [d.price / d.current_price - 1 for d in decisions if d.price and d.current_price]
    moves.hist(100 * np.asarray(ratios), bins=41, color="tab:blue")
    moves.set(title="changes", xlabel="percent of the current price", ylabel="products")
    counts = Counter(cause(decision.rule) for decision in decisions).most_common(12)
    names, sizes = [name for name, _ in counts][::-1], [size for _, size in counts][::-1]
    rules.barh(names, sizes, color="tab:orange")
    rules.set(title="what set the price", xlabel="products")
    figures = [_expected(effect, place) for place in range(len(MEASURES))]
    shares = [100 * f["change"] / f["before"] if f["before"] else 0.0 for f in figures]
    gains.bar(MEASURES, shares, color="tab:green")
    for place, found in enumerate(figures):
        if found["interval"] and found["before"]:
            low, high = (100 * bound / found["before"] for bound in found["interval"])
            gains.plot([place, place], [low, high], color="black")
    gains.set(title="expected change, with 80 % interval", ylabel="percent")
    gains.axhline(0, color="grey", linewidth=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
