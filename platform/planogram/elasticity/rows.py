"""The rows that a demand model learns from and is measured on."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram import storage
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ROWS = "rows.parquet"
TEXTS = "texts.json"
FRAMES = ("features", "known")


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

    def save(self, folder: Path) -> None:
        """Write all of it, so that what is expected need not be learned again."""
        columns = {name: getattr(self, name) for name in _columns()}
        frames = [getattr(self, name).add_prefix(f"{name}.").reset_index(drop=True) for name in FRAMES]
        pd.concat([pd.DataFrame(columns), *frames], axis=1).to_parquet(folder / ROWS, index=False)
        storage.write_json(str(folder / TEXTS), self.texts)

    @classmethod
    def read(cls, folder: Path) -> "DemandRows":
        """What `save` wrote."""
        frame = pd.read_parquet(folder / ROWS)
        frames = {
            name: frame.filter(regex=rf"^{name}\.").rename(columns=lambda column: column.partition(".")[2])
            for name in FRAMES
        }
        arrays: dict[str, Any] = {name: frame[name].to_numpy() for name in _columns()}
        arrays |= {name: arrays[name].astype(kind) for name, kind in {"product_ids": object, "part": str}.items()}
        return cls(texts=storage.read_json(str(folder / TEXTS)), **(arrays | frames))


def _columns() -> list[str]:
    return [field.name for field in fields(DemandRows) if field.name not in ("texts", *FRAMES)]
