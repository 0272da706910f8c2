"""How many of the products that a query finds have which brand, category and price."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from planogram.serve.values import Facets, RangeCount, ValueCount

MAX_VALUES = 20
NUM_BANDS = 5
NUMERIC = "price"


def count_facets(products: pd.DataFrame, names: Sequence[str]) -> Facets:
    """The values of some columns, the most frequent first; prices in bands of about as many products each.

    Args:
        products: those found.
        names: of brand, category and price.
    """
    return {name: _bands(products[name]) if name == NUMERIC else _values(products[name]) for name in names}


def _values(column: "pd.Series[str]") -> list[ValueCount]:
    counts = column.dropna().value_counts(sort=True)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], str(entry[0])))[:MAX_VALUES]
    return [ValueCount(str(value), int(count)) for value, count in ordered]


def _bands(prices: "pd.Series[float]") -> list[RangeCount]:
    values = np.sort(prices.dropna().to_numpy(dtype=np.float64))
    if not len(values):
        return []
    # Bounds that people say: two digits.
    inner = [float(f"{bound:.2g}") for bound in np.quantile(values, np.linspace(0, 1, NUM_BANDS + 1)[1:-1])]
    bounds = sorted({float(values[0]), *(b for b in inner if values[0] < b < values[-1]), float(values[-1])})
    places = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, max(0, len(bounds) - 2))
    counts = np.bincount(places, minlength=max(1, len(bounds) - 1))
    edges = list(pairwise(bounds)) or [(bounds[0], bounds[0])]
    return [RangeCount(low, high, int(n)) for (low, high), n in zip(edges, counts, strict=True) if n]
