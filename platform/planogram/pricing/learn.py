"""What is believed of demand, brought up to date by what was sold: a particle filter over levels and elasticities.

Between two trainings of the demand model, prices that were tried teach already; exploration would be for nothing
without it. Source: Liu & West 2001, Combined Parameter and State Estimation in Simulation-Based Filtering.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlogy

from planogram.pricing.curve import DemandCurve

Floats = npt.NDArray[np.float64]
# Standard deviations that are doubted at least, however much the members of a model agree: of the level, and of the
# log elasticity. Products differ by this much beyond what their text says.
LEAST_DOUBT = (0.1, 0.15)
# Of a particle's distance to the mean, what is kept when particles are drawn anew; the rest is fresh noise.
KEEP = 0.98


@dataclass(frozen=True)
class Beliefs:
    """Particles of many products, all of one kind of demand.

    Attributes:
        curves: as the model says them; their kind, reference and exposure hold.
        levels: (products, particles).
        log_elasticities: (products, particles).
    """

    curves: tuple[DemandCurve, ...]
    levels: Floats
    log_elasticities: Floats

    @classmethod
    def of(cls, curves: list[DemandCurve], particles: int, rng: np.random.Generator) -> "Beliefs":
        """Draw particles around each curve, as wide as its draws and at least as `LEAST_DOUBT`."""
        drawn = []
        for column, least in enumerate(LEAST_DOUBT):
            means = np.asarray([c.level if column == 0 else np.log(c.elasticity) for c in curves])
            spread = np.asarray([_deviation(c, column) for c in curves])
            noise = rng.standard_normal((len(curves), particles))
            drawn.append(means[:, None] + np.maximum(spread, least)[:, None] * noise)
        return cls(tuple(curves), *drawn)

    def believed(self) -> list[DemandCurve]:
        """The curves with the particles as their draws."""
        return [
            replace(
                curve,
                level=float(levels.mean()),
                elasticity=float(np.exp(logs.mean())),
                draws=np.column_stack([levels, np.exp(logs)]),
            )
            for curve, levels, logs in zip(self.curves, self.levels, self.log_elasticities, strict=True)
        ]

    def updated(self, prices: Floats, units: Floats, exposures: Floats, rng: np.random.Generator) -> "Beliefs":
        """After one period.

        Args:
            prices: (products,) that were asked.
            units: (products,) that were sold.
            exposures: (products,) impressions behind purchases; of units it does not count.
            rng: of the resampling.
        """
        references = np.asarray([curve.reference for curve in self.curves])
        logits = self.levels - np.exp(self.log_elasticities) * np.log(prices / references)[:, None]
        if self.curves[0].kind == "purchase":
            rates = np.clip(expit(logits), 1e-12, 1 - 1e-12)
            log_weights = xlogy(units[:, None], rates) + (exposures - units)[:, None] * np.log1p(-rates)
        else:
            log_weights = units[:, None] * logits - np.exp(np.minimum(logits, 50.0))
        chosen = _resampled(log_weights, rng)
        rows = np.arange(len(units))[:, None]
        return Beliefs(
            self.curves,
            _jittered(self.levels[rows, chosen], rng),
            _jittered(self.log_elasticities[rows, chosen], rng),
        )


def _deviation(curve: DemandCurve, column: int) -> float:
    if not len(curve.draws):
        return 0.0
    values = curve.draws[:, column]
    return float((np.log(values) if column else values).std())


def _resampled(log_weights: Floats, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """(products, particles) numbers of particles, drawn in proportion to their weights (systematic resampling)."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    cumulative = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    count = weights.shape[1]
    places = (np.arange(count) + rng.random((len(weights), 1))) / count
    found = np.stack([np.searchsorted(row, place) for row, place in zip(cumulative, places, strict=True)])
    return np.minimum(found, count - 1)


def _jittered(values: Floats, rng: np.random.Generator) -> Floats:
    """The same mean and variance, with other particles where several were one."""
    mean, deviation = values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
    noise = np.sqrt(1 - KEEP**2) * deviation * rng.standard_normal(values.shape)
    jittered: Floats = KEEP * values + (1 - KEEP) * mean + noise
    return jittered
