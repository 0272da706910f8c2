"""How much of a product is sold at a price."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["units", "purchase"]

# e^400: what is sold stays finite when it is multiplied by a price or added up.
LARGEST_LOG_UNITS = 400.0


def no_draws() -> Floats:
    """Uncertainty that is not known: (0, 2)."""
    return np.zeros((0, 2))


@dataclass(frozen=True, eq=False)
class DemandCurve:
    """Demand of one product with one elasticity around a reference price.

    `units`: log units = level - elasticity * log(price / reference), constant elasticity (Varian 1992, Microeconomic
    Analysis, ch. 13). `purchase`: units = exposure * sigmoid of the same right side, a binary logit (Train 2009,
    Discrete Choice Methods with Simulation, ch. 3).

    Args:
        reference: price at which `level` holds, above 0.
        level: log of the units per period, or the logit of a purchase per visit, at the reference.
        elasticity: above 0; d log units / d log price = -elasticity; of `purchase`, d logit / d log price.
        kind: which of both.
        exposure: visits per period, above 0; of `purchase` alone.
        draws: (draws, 2) of level and elasticity, samples of what they may be; (0, 2): not known.

    Raises:
        DataError: a number is not finite or not above 0, or the draws have another shape.
    """

    reference: float
    level: float
    elasticity: float
    kind: Kind = "units"
    exposure: float = 1.0
    draws: Floats = field(default_factory=no_draws, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in ("units", "purchase"):
            raise DataError(f"kind {self.kind!r}", allowed="units, purchase", remedy="name one of these")
        for name in ("reference", "elasticity", "exposure"):
            _refuse(name, getattr(self, name), bool(np.isfinite(getattr(self, name)) and getattr(self, name) > 0))
        _refuse("level", self.level, bool(np.isfinite(self.level)), "a finite number")
        if self.draws.ndim != 2 or self.draws.shape[1] != 2:
            raise DataError(f"draws of shape {self.draws.shape}", allowed="(draws, 2)", remedy="give level, elasticity")
        fits = bool(np.isfinite(self.draws).all() and (self.draws[:, 1] > 0).all())
        _refuse("draws", "a level or elasticity", fits, "finite levels, finite elasticities above 0")

    def units(self, prices: Floats) -> Floats:
        """Units per period: (prices,) above 0 -> (prices,)."""
        return self._at(np.asarray([[self.level, self.elasticity]]), prices)[0]

    def units_draws(self, prices: Floats) -> Floats:
        """Units per period under every draw: (prices,) above 0 -> (draws, prices)."""
        return self._at(self.draws, prices)

    def with_draw(self, number: int) -> "DemandCurve":
        """The curve as one of its draws has it, without uncertainty."""
        level, elasticity = self.draws[number].tolist()
        return replace(self, level=level, elasticity=elasticity, draws=no_draws())

    def _at(self, draws: Floats, prices: Floats) -> Floats:
        log_ratios = np.log(np.asarray(prices, dtype=np.float64)) - np.log(self.reference)
        purchase = np.full((len(draws), 1), self.kind == "purchase")
        return units_of(draws[:, :1], draws[:, 1:], log_ratios, purchase, np.full((len(draws), 1), self.exposure))


def units_of(levels: Floats, elasticities: Floats, log_ratios: Floats, purchase: Flags, exposures: Floats) -> Floats:
    """Units per period of many curves; all arguments broadcast to (..., prices).

    Args:
        levels: (..., 1) as in `DemandCurve`.
        elasticities: (..., 1) likewise.
        log_ratios: (..., prices) log(price / reference).
        purchase: (..., 1) which curves are of this kind.
        exposures: (..., 1) visits per period.

    Returns:
        (..., prices), finite: at most e^400.
    """
    with np.errstate(over="ignore"):  # infinite logarithms are as good as large ones
        logs = elasticities * log_ratios
        np.subtract(levels, logs, out=logs)
        if purchase.any():
            # log sigmoid(x) = -log(1 + e^-x), which neither overflows nor loses small probabilities
            logs = np.where(purchase, np.log(exposures) - np.logaddexp(0.0, -logs), logs)
    np.minimum(logs, LARGEST_LOG_UNITS, out=logs)
    np.exp(logs, out=logs)
    return logs


def _refuse(name: str, value: object, fits: bool, allowed: str = "a finite number above 0") -> None:
    if not fits:
        raise DataError(f"{name} of a demand curve: {value}", allowed=allowed, remedy="do not price by this curve")
