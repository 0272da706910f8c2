"""The slope of one residual on another, with a standard error that allows for unequal and related errors."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Two-sided 95 % of the normal distribution.
Z95 = 1.959964
# A price that varies less, once all else is taken out of it, does not vary: what is left is rounding.
MIN_DEVIATION = 1e-8


@dataclass(frozen=True)
class Estimate:
    """An estimated elasticity.

    Attributes:
        elasticity: d log units / d log price; negative where a higher price sells less.
        standard_error: of it.
        rows: it was estimated from.
        r2: of the whole fit, where there is one.
    """

    elasticity: float
    standard_error: float
    rows: int
    r2: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by the normal distribution."""
        return self.elasticity - Z95 * self.standard_error, self.elasticity + Z95 * self.standard_error


def slope(price: Floats, target: Floats, clusters: Integers | None = None, parameters: int = 1) -> Estimate:
    """Least squares of a target on a price, from both of which all else has been taken out.

    By the theorem of Frisch and Waugh (1933) and Lovell (1963) this is the price's coefficient of the regression that
    has all else beside it, with the same errors: theta = sum(p t) / sum(p^2).

    Args:
        price: (rows,) residuals of the log price.
        target: (rows,) residuals of the log units.
        clusters: (rows,) number of the cluster whose rows may have related errors; absent: HC1.
        parameters: that were estimated in all, the slope included.

    Raises:
        DataError: the price does not vary, or there are no more rows than parameters.
    """
    check_varies(price)
    information = float(price @ price)
    elasticity = float(price @ target) / information
    errors = target - elasticity * price
    return Estimate(elasticity, sandwich(information, price * errors, clusters, parameters), len(price))


def check_varies(price: Floats) -> None:
    """Raise DataError where what is left of a price does not vary."""
    if not len(price) or price @ price <= len(price) * MIN_DEVIATION**2:
        raise DataError(
            "the price does not vary once all else is taken out of it",
            remedy="bring observations at several prices, or take out less",
        )


def sandwich(information: float, scores: Floats, clusters: Integers | None, parameters: int) -> float:
    """The robust standard error of one coefficient: sqrt(c sum(s^2)) / H.

    H is the information, s the scores, and c corrects for small samples: n / (n - k) row by row (HC1; White 1980,
    MacKinnon & White 1985), and G / (G - 1) (n - 1) / (n - k) where scores are summed in G clusters (Liang & Zeger
    1986; Cameron & Miller 2015, section II).

    Args:
        information: minus the derivative of the summed scores.
        scores: (rows,) of the estimating equation at the estimate.
        clusters: (rows,) numbers from 0; absent: every row is its own.
        parameters: k.

    Raises:
        DataError: there are no more rows than parameters, or fewer than two clusters.
    """
    rows = len(scores)
    if rows <= parameters:
        raise DataError(f"{rows} rows for {parameters} parameters", remedy="bring more observations or take out less")
    if clusters is None:
        return float(np.sqrt(rows / (rows - parameters) * (scores @ scores)) / information)
    sums = np.bincount(clusters, scores)
    if (count := len(np.unique(clusters))) < 2:
        raise DataError("standard errors of one cluster", allowed="two clusters or more", remedy="cluster otherwise")
    correction = count / (count - 1) * (rows - 1) / (rows - parameters)
    return float(np.sqrt(correction * (sums @ sums)) / information)
