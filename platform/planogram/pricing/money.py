"""Exact arithmetic of prices: amounts are fractions, prices are whole numbers of the currency's step.

A float means the decimal that is written for it: 0.1 is a tenth here, not the binary number next to it.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A step is a whole number of these parts of the currency.
PARTS = 10_000
# Ten times this amount in parts is below 2^53, so that floats and 64-bit integers hold every price exactly.
LARGEST_AMOUNT = 1e10


@lru_cache(maxsize=1 << 16)
def exact(amount: float) -> Fraction:
    """The decimal number that is written for a finite float."""
    return Fraction(repr(float(amount)))


@dataclass(frozen=True)
class Ruler:
    """The prices that a currency has: whole numbers of a step.

    Attributes:
        parts: of the currency's 10,000th part, in a step.
    """

    parts: int

    @classmethod
    @lru_cache
    def of(cls, currency_step: float) -> "Ruler":
        """The ruler of a step, which is a whole number of 10,000ths."""
        return cls(int(exact(currency_step) * PARTS))

    def up(self, amount: Fraction) -> int:
        """Steps of the lowest price that is not below an amount."""
        return ceil(amount * PARTS / self.parts)

    def down(self, amount: Fraction) -> int:
        """Steps of the highest price that is not above an amount."""
        return floor(amount * PARTS / self.parts)

    def steps(self, price: float) -> int | None:
        """Steps of a price, if it is a whole number of them."""
        steps = exact(price) * PARTS / self.parts
        return steps.numerator if steps.denominator == 1 else None

    def price(self, steps: int) -> float:
        """The float that is nearest to a number of steps; so `0.29`, never `0.29000000000000004`."""
        return steps * self.parts / PARTS

    def prices(self, steps: Ints) -> Floats:
        """`price` of an array: (...) int64 -> (...) float64, bit for bit the same."""
        # Both numbers are exact in float64, and IEEE division rounds to the nearest.
        return (steps * self.parts).astype(np.float64) / PARTS
