"""Queries and products that fit, each text once: what a bi-encoder learns from and is measured on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planogram.data.examples.base import Examples
from planogram.errors import DataError

Integers = npt.NDArray[np.int64]
# Of the highest grade: from here on a product is a positive; below, it is a negative that was judged.
POSITIVE_SHARE = 0.75
NEGATIVE_SHARE = 0.35


@dataclass(frozen=True)
class Texts:
    """Queries, products, and which belong together; every text once.

    Attributes:
        queries, products: distinct texts.
        pairs: (positives, 2) numbers of a query and a product that fit.
        bad: query -> products that were judged not to fit.
    """

    queries: list[str]
    products: list[str]
    pairs: Integers
    bad: dict[int, Integers]

    @property
    def good(self) -> dict[int, set[int]]:
        """Query -> products that fit."""
        found: dict[int, set[int]] = {}
        for query, product in self.pairs:
            found.setdefault(int(query), set()).add(int(product))
        return found


def texts_of(examples: Examples) -> Texts:
    """What fits and what does not, from graded pairs.

    Raises:
        DataError: no pair fits.
    """
    queries, query_of = np.unique([query for query, _ in examples.pairs], return_inverse=True)
    products, product_of = np.unique([product for _, product in examples.pairs], return_inverse=True)
    spread = float(np.ptp(examples.grades))
    # Pairs that were only collected because they fit have one grade.
    share = (examples.grades - examples.grades.min()) / spread if spread else np.sign(examples.grades)
    good, bad = share >= POSITIVE_SHARE, share <= NEGATIVE_SHARE
    if not good.any():
        raise DataError("no pair fits", remedy="bring pairs with the highest grade")
    return Texts(
        queries.tolist(),
        products.tolist(),
        np.stack([query_of[good], product_of[good]], axis=1).astype(np.int64),
        {int(query): product_of[bad & (query_of == query)].astype(np.int64) for query in np.unique(query_of[bad])},
    )
