"""The model's text of queries and their documents: the same functions as in training."""

from collections.abc import Sequence

from planogram.data.text import Language, clean, product_text, query_text
from planogram.engines.base import Pair
from planogram.serve.values import Document, Queries


def pair_texts(
    query: Queries,
    documents: Sequence[Document],
    text_fields: Sequence[str],
    language: Language = "en",
    month: int | None = None,
) -> list[Pair]:
    """The model's text of each pair, by the same functions as in training; with the season of `month`, 1 to 12."""
    queries = [query] * len(documents) if isinstance(query, str) else query
    texts = {text: query_text(text, month, language) for text in set(queries)}
    return [
        (texts[text], clean(document) if isinstance(document, str) else product_text(document, text_fields, language))
        for text, document in zip(queries, documents, strict=True)
    ]
