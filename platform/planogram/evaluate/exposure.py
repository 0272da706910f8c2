"""Who is seen, and who deserves to be: the attention that brands get against the grades that they have."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.data.shop import read_table
from planogram.evaluate.judged import Judged
from planogram.evaluate.lists import ranks

Floats = npt.NDArray[np.floating]
UNBRANDED = "no brand"
OTHERS = "other brands"
# Brands of less merit stand together: their ratios would be of a few products.
LEAST_MERIT = 0.01
SHOWN = 10


def exposure(judged: Judged) -> dict[str, Any] | None:
    """Share of attention against share of merit, by brand.

    A product at rank r of its list gets attention 1 / log2(1 + r); its merit is its grade. Both are shares within a
    list, so that every query counts alike; lists without any grade above 0 are left out.

    Returns:
        `brands` (those of most merit: `brand`, `exposure`, `merit` and `ratio`), `largest_ratio` and `most_favoured`
        (the brand that has it; both None where all are too small), `disparity`, the divergence KL(merit || exposure) in
        nats, and `ideal_disparity`, the same of a ranking by the grades: no ranking that discounts positions is at 0.
        None where no product has a brand.

    Source: Singh & Joachims 2018, Fairness of Exposure in Rankings (disparate treatment); Kullback & Leibler 1951.
    """
    brands = _brands(judged)
    if brands is None:
        return None
    grades = judged.examples.grades
    merit = _shares(judged, brands, grades, by_rank=False)
    pooled = [brand if merit[brand] >= LEAST_MERIT else OTHERS for brand in brands]
    merit = _shares(judged, pooled, grades, by_rank=False)
    seen = _shares(judged, pooled, judged.scores, by_rank=True)[merit.index]
    ideal = _shares(judged, pooled, grades, by_rank=True)[merit.index]
    ratios = (seen / merit).where(merit > 0).drop(OTHERS, errors="ignore").dropna()
    rows = pd.DataFrame({"exposure": seen, "merit": merit, "ratio": (seen / merit).where(merit > 0)})
    return {
        "brands": [
            {"brand": brand, **{name: float(value) for name, value in row.items() if pd.notna(value)}}
            for brand, row in rows.sort_values("merit", ascending=False).head(SHOWN).iterrows()
        ],
        "largest_ratio": float(ratios.max()) if len(ratios) else None,
        "most_favoured": str(ratios.idxmax()) if len(ratios) else None,
        "disparity": divergence(merit.to_numpy(), seen.to_numpy()),
        "ideal_disparity": divergence(merit.to_numpy(), ideal.to_numpy()),
    }


def divergence(merit: Floats, seen: Floats) -> float:
    """KL(merit || exposure) in nats: 0 where both are the same.

    In this direction it is finite, as every rank gets some attention.

    Args:
        merit: (brands,) shares.
        seen: (brands,) shares above 0.
    """
    some = merit > 0
    return float((merit[some] * np.log(merit[some] / seen[some])).sum())


def _brands(judged: Judged) -> list[str] | None:
    """(examples,) brands; None where no product has one."""
    known = read_table(judged.source.shop, "products", ["product_id", "brand"]).set_index("product_id")["brand"]
    found = known.reindex(judged.examples.products)
    return None if found.isna().all() else [str(brand) for brand in found.fillna(UNBRANDED)]


def _shares(judged: Judged, brands: list[str], values: Floats, *, by_rank: bool) -> "pd.Series[float]":
    """Brand -> its share, the mean over lists of the attention that values rank it to, or of the values themselves."""
    graded = [rows for rows in judged.lists.values() if judged.examples.grades[rows].sum() > 0]
    weights = np.zeros(len(brands))
    for rows in graded:
        own = 1 / np.log2(1 + ranks(values[rows])) if by_rank else values[rows]
        weights[rows] = own / own.sum() / len(graded)
    return pd.Series(weights).groupby(np.asarray(brands, dtype=object)).sum()
