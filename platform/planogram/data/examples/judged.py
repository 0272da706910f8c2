"""Judged (query, product) pairs: the same join and text for training and evaluation."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import SplitConfig
from planogram.data.examples.base import Examples, examples, numbered, product_texts
from planogram.data.splits import take
from planogram.data.text import Language, query_text


def relevance_examples(
    judgments: pd.DataFrame,
    products: pd.DataFrame,
    fields: Sequence[str],
    split: SplitConfig,
    part: str,
    language: Language = "en",
) -> Examples:
    """Join judgments with the text of their products and take one part of the split.

    Judgments of products that the shop does not have are left out: `data prepare` warns of them.

    Args:
        judgments: the table.
        products: the table.
        fields: text fields of a product.
        split: the rule of the split.
        part: train, valid, test, or all.
        language: of the words around numbers.

    Raises:
        DataError: no example is left.
    """
    known = judgments[judgments["product_id"].isin(set(products["product_id"]))].reset_index(drop=True)
    chosen = take(known, split, part, "judgment")
    texts = product_texts(products[products["product_id"].isin(set(chosen["product_id"]))], fields, language)
    pairs = [(query_text(q), texts[p]) for q, p in zip(chosen["query"], chosen["product_id"], strict=True)]
    grades, ids = chosen["grade"].to_numpy(), chosen["product_id"].tolist()
    return examples(pairs, grades, numbered(chosen["query"]), agreement(chosen), products=ids)


def agreement(judgments: pd.DataFrame) -> npt.NDArray[np.float64]:
    """How much each judgment counts: 1 where its judges agreed, one half where they differed as much as on average.

    The inverse of a variance made of two: what every grade is uncertain by, taken to be the mean variance m, and what
    its own judges differed by: m / (m + v). Unknown variances count as the mean.

    Args:
        judgments: the table; without `grade_variance` every judgment counts 1.

    Source: weighted least squares (Aitken 1936): errors of known variance are weighted by its inverse.
    """
    if "grade_variance" not in judgments or not judgments["grade_variance"].sum() > 0:
        return np.ones(len(judgments))
    variances = judgments["grade_variance"].to_numpy(dtype=np.float64)
    mean = np.nanmean(variances)
    return np.asarray(mean / (mean + np.where(np.isnan(variances), mean, variances)))
