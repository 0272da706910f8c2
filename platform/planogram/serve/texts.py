"""The model's text of a query and its documents: the same functions as in training."""

from collections.abc import Sequence

from planogram.data.text import Language, clean, product_text, query_text
from planogram.engines.base import Pair
from planogram.serve.backend import Document


def pair_texts(
    query: str,
    documents: Sequence[Document],
    text_fields: Sequence[str],
    language: Language = "en",
    month: int | None = None,
) -> list[Pair]:
    """The model's text of each pair, by the same functions as in training; with the season of `month`, 1 to 12."""
    text = query_text(query, month, language)
    return [
        (text, clean(document) if isinstance(document, str) else product_text(document, text_fields, language))
        for document in documents
    ]
