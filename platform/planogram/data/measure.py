"""Figures of the rows that are kept, for the checks of the report."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planogram.data.derive import Mask, as_mask
from planogram.data.hashing import Hashes, hash_rows
from planogram.data.parse import rows_with
from planogram.data.tally import Tally

PRICE_BINS_PER_DECADE = 20


def measure(batch: Any, tally: Tally, products: Hashes | None) -> None:
    """Add a batch of kept rows to the figures of a tally.

    Args:
        batch: an Arrow record batch with the table's columns.
        tally: what is added to.
        products: sorted hashes of the known product ids; None: references are not checked.
    """
    if not len(batch):
        return
    names = batch.schema.names
    tally.missing.update({name: batch.column(name).null_count for name in names})
    if "timestamp" in names:
        _time_range(batch.column("timestamp"), tally)
    if "price" in names:
        _prices(batch.column("price"), tally)
    if products is not None and "product_id" in names:
        _references(batch, tally, products)


def product_hashes(ids: Any) -> Hashes:
    """What `measure` knows products by: hashes of an Arrow array of ids."""
    return hash_rows([ids])


def median_bin(prices: Counter[int]) -> int | None:
    """The bin of `Tally.prices` that holds the median of the prices above zero; None where there is none."""
    half, below = sum(prices.values()) / 2, 0
    for number in sorted(prices):
        below += prices[number]
        if below >= half:
            return number
    return None


def price_of_bin(number: int) -> float:
    """The middle of a bin of `Tally.prices`, in the shop's currency."""
    return float(10 ** ((number + 0.5) / PRICE_BINS_PER_DECADE))


def _time_range(times: Any, tally: Tally) -> None:
    ends = pc.min_max(pc.cast(times, pa.int64())).as_py()
    if ends["min"] is not None:
        tally.merge(Tally(first=ends["min"], last=ends["max"]))


def _prices(prices: Any, tally: Tally) -> None:
    values = prices.drop_null().to_numpy()
    tally.zero_prices += int((values == 0).sum())
    bins = np.floor(np.log10(values[values > 0]) * PRICE_BINS_PER_DECADE).astype(np.int64)
    tally.prices.update({int(n): int(c) for n, c in zip(*np.unique(bins, return_counts=True), strict=True)})


def _references(batch: Any, tally: Tally, products: Hashes) -> None:
    ids = batch.column("product_id")
    strange = _unknown(ids, products)
    rows, examples = strange, [ids.filter(pa.array(strange))]
    if "history" in batch.schema.names:
        histories = batch.column("history")
        elements = pc.list_flatten(histories)
        strange = _unknown(elements, products)
        rows = rows | rows_with(histories, strange)
        examples.append(elements.filter(pa.array(strange)))
    tally.unknown_products += int(rows.sum())
    names = {name for array in examples for name in array.unique().to_pylist()}
    tally.unknown_examples = sorted({*tally.unknown_examples, *names})[:5]


def _unknown(ids: Any, products: Hashes) -> Mask:
    hashes = product_hashes(ids)
    found = np.searchsorted(products, hashes)
    known = np.zeros(len(hashes), dtype=bool)
    inside = found < len(products)
    known[inside] = products[found[inside]] == hashes[inside]
    return ~known & as_mask(pc.is_valid(ids))
