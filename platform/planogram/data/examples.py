"""Judged (query, product) pairs as the model's examples: the same join and text for training and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import SplitConfig
from planogram.data.schema import PRODUCTS
from planogram.data.splits import assign
from planogram.data.text import check_fields, product_text, query_text
from planogram.errors import DataError


@dataclass(frozen=True)
class Examples:
    """Judged pairs.

    Attributes:
        pairs: (query text, product text).
        grades: (examples,) float64, as judged.
        groups: (examples,) int64, the number of the query.
    """

    pairs: list[tuple[str, str]]
    grades: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pairs)


def relevance_examples(
    judgments: pd.DataFrame, products: pd.DataFrame, fields: Sequence[str], split: SplitConfig, part: str
) -> Examples:
    """Join judgments with the text of their products and take one part of the split.

    Judgments of products that the shop does not have are left out: `data prepare` warns of them.

    Args:
        judgments: the table.
        products: the table.
        fields: text fields of a product.
        split: the rule of the split.
        part: train, valid, test, or all.

    Raises:
        DataError: no example is left.
    """
    check_fields(fields)
    known = judgments[judgments["product_id"].isin(set(products["product_id"]))].reset_index(drop=True)
    chosen = known if part == "all" else known[assign(known, split) == part]
    if chosen.empty:
        raise DataError(f"no judgment in part {part!r}", remedy="check the shop's judgments and the split")
    judged = products[products["product_id"].isin(set(chosen["product_id"]))]
    texts = {row["product_id"]: product_text(row, fields) for row in judged.to_dict("records")}
    pairs = [(query_text(q), texts[p]) for q, p in zip(chosen["query"], chosen["product_id"], strict=True)]
    groups, _ = pd.factorize(chosen["query"])
    return Examples(pairs, chosen["grade"].to_numpy(dtype=np.float64), groups.astype(np.int64))


def text_columns(fields: Sequence[str]) -> list[str]:
    """Columns of the products table that the text needs."""
    return ["product_id", *(c.name for c in PRODUCTS.columns if c.name in fields)]
