"""The rows that a demand model learns from and is measured on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DemandRows:
    """Rows of a shop with a price and what was bought at it.

    Attributes:
        texts: of the products, each once.
        text: (rows,) number of the row's text.
        product_ids: (rows,) whose row it is.
        price: (rows,) in the shop's currency.
        log_price: (rows,) log of the price over `reference`.
        reference: (rows,) the price that was to be expected, in the shop's currency.
        offset: (rows,) log of the units, or logit of the rate, that were to be expected whatever the price.
        outcome: (rows,) units, purchases, or 1 for what was chosen.
        exposure: (rows,) impressions behind the purchases; 1 otherwise.
        sets: (rows,) number of the choice set; each row its own where nothing is chosen among alternatives.
        clusters: (rows,) what a bootstrap draws as a whole: the product's period, or the household.
        period: (rows,) in the order of time; 0 where the shop has none.
        features: (rows,) columns of the tower.
        known: (rows,) what was expected from: `last`, `mean_4` and others of `past`; without columns for choices.
        part: (rows,) train, valid or test.
    """

    texts: list[str]
    text: Integers
    product_ids: npt.NDArray[np.object_]
    price: Floats
    log_price: Floats
    reference: Floats
    offset: Floats
    outcome: Floats
    exposure: Floats
    sets: Integers
    clusters: Integers
    period: Integers
    features: pd.DataFrame
    known: pd.DataFrame
    part: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.text)

    def rows(self, part: str) -> Integers:
        """Positions of a part's rows, or of all.

        Raises:
            DataError: there are none.
        """
        found = np.flatnonzero((self.part == part) | (part == "all"))
        if not len(found):
            raise DataError(f"no row of demand in part {part!r}", remedy="check the demand of the shop and the split")
        return found
