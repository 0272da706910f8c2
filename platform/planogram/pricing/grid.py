"""The prices between two limits that are compared: all of them, or as many as are asked for, evenly apart."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from planogram.pricing.money import Ints, Ruler


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which numbers of steps are prices: those that leave one of the `residues` when divided by `modulus`.

    Attributes:
        residues: (endings,) int64 rising, from 0 to below the modulus.
    """

    modulus: int
    residues: Ints

    def count(self, steps: Ints) -> Ints:
        """How many numbers from 0 to each given one fit: (...) -> (...)."""
        whole, rest = np.divmod(steps, self.modulus)
        return whole * len(self.residues) + np.searchsorted(self.residues, rest, side="right")

    def at(self, numbers: Ints) -> Ints:
        """The fitting numbers at these places, counted from 0: (...) -> (...)."""
        whole, rest = np.divmod(numbers, len(self.residues))
        return whole * self.modulus + self.residues[rest]

    def fits(self, steps: int) -> bool:
        """Whether a number of steps is such a price."""
        return bool((self.residues == steps % self.modulus).any())


@lru_cache
def pattern(endings: tuple[float, ...], currency_step: float) -> Pattern:
    """The pattern of prices with these last digits; without any, every step.

    0.99 stands for the digits behind the point, 5 for the last digit before it too, 80 for the last two.
    """
    if not endings:
        return Pattern(1, np.zeros(1, dtype=np.int64))
    ruler = Ruler.of(currency_step)
    found = [(ruler.steps(ending), ruler.steps(digits(ending))) for ending in endings]
    known = [(ending, modulus) for ending, modulus in found if ending is not None and modulus is not None]
    modulus = max(modulus for _, modulus in known)
    residues = {start + ending for ending, own in known for start in range(0, modulus, own)}
    return Pattern(modulus, np.asarray(sorted(residues), dtype=np.int64))


def digits(ending: float) -> float:
    """The amount after which last digits repeat: 1 for 0.99, 10 for 5, 100 for 80."""
    return 1.0 if ending < 1 else float(10 ** len(str(int(ending))))


def between(lows: Ints, highs: Ints, among: Pattern, size: int) -> tuple[Ints, Ints]:
    """Prices of the pattern between limits.

    Args:
        lows: (items,) steps, 1 or more.
        highs: (items,) steps; both limits are allowed.
        among: which steps are prices.
        size: most prices of an item.

    Returns:
        (items, size) int64 rising, and (items,) how many of them count, 0 where no price of the pattern is between.
    """
    first, found = among.count(lows - 1), among.count(highs) - among.count(lows - 1)
    last = np.maximum(found - 1, 0)[:, None]
    places = np.arange(size, dtype=np.int64)[None, :]
    taken = np.where(last < size, np.minimum(places, last), places * last // (size - 1))
    return among.at(first[:, None] + taken), np.minimum(found, size)
