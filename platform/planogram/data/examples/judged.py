"""Judged (query, product) pairs: the same join and text for training and evaluation."""

from collections.abc import Sequence

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
    return examples(pairs, chosen["grade"].to_numpy(), numbered(chosen["query"]))
