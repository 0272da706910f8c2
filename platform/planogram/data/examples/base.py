"""What a model with heads learns from and is measured on: texts, targets and how much each counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.data.schema import PRODUCTS
from planogram.data.text import Language, check_fields, product_text

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Texts with targets.

    Attributes:
        pairs: (first text, second text); a single text has an empty second one.
        grades: (examples,) as judged or counted.
        groups: (examples,) number of the list that an example is ranked in; each its own where nothing is ranked.
        weights: (examples,) how much an example counts in the loss.
        positions: (examples,) 1-based place on the page where it was shown; 0: unknown.
        features: (examples,) rows of the columns that may enter beside the text.
        products: (examples,) ids of the products; empty where the second text is none.
    """

    pairs: list[tuple[str, str]]
    grades: Floats
    groups: Integers
    weights: Floats
    positions: Integers
    features: pd.DataFrame
    products: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, positions: npt.NDArray[np.intp]) -> "Examples":
        """The examples at these positions, in this order."""
        return Examples(
            [self.pairs[position] for position in positions],
            self.grades[positions],
            self.groups[positions],
            self.weights[positions],
            self.positions[positions],
            self.features.iloc[positions].reset_index(drop=True),
            [self.products[position] for position in positions] if self.products else [],
        )

    def extended(self, more: "Examples") -> "Examples":
        """These examples and then others, whose groups are numbered alike and whose features have the same columns."""
        return Examples(
            [*self.pairs, *more.pairs],
            np.concatenate([self.grades, more.grades]),
            np.concatenate([self.groups, more.groups]),
            np.concatenate([self.weights, more.weights]),
            np.concatenate([self.positions, more.positions]),
            pd.concat([self.features, more.features], ignore_index=True),
            [*self.products, *more.products] if self.products and more.products else [],
        )


def examples(
    pairs: list[tuple[str, str]],
    grades: npt.NDArray[Any],
    groups: Integers | None = None,
    weights: npt.NDArray[Any] | None = None,
    positions: npt.NDArray[Any] | None = None,
    features: pd.DataFrame | None = None,
    *,
    products: Sequence[str] = (),
) -> Examples:
    """Examples of which only some things are known: without groups each stands alone, without weights all count 1."""
    count = len(pairs)
    return Examples(
        pairs,
        grades.astype(np.float64),
        np.arange(count, dtype=np.int64) if groups is None else groups,
        np.ones(count) if weights is None else weights.astype(np.float64),
        np.zeros(count, dtype=np.int64) if positions is None else positions.astype(np.int64),
        pd.DataFrame(index=range(count)) if features is None else features,
        list(products),
    )


def numbered(values: "pd.Series[Any]") -> Integers:
    """The number of each value, in the order of first appearance."""
    return pd.factorize(values)[0].astype(np.int64)


def product_texts(products: pd.DataFrame, fields: Sequence[str], language: Language = "en") -> dict[str, str]:
    """Text by product id.

    Raises:
        ConfigError: a field is unknown.
    """
    check_fields(fields)
    return {row["product_id"]: product_text(row, fields, language) for row in products.to_dict("records")}


def text_columns(fields: Sequence[str]) -> list[str]:
    """Columns of the products table that the text needs."""
    return ["product_id", *(c.name for c in PRODUCTS.columns if c.name in fields)]
