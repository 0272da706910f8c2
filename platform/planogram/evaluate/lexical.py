"""The lexical floor: BM25, which every language model has to beat."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer

SATURATION = 1.2
LENGTH_NORM = 0.75
WORD = r"(?u)\b\w+\b"


def bm25(pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
    """BM25 of each pair; the distinct products of the pairs are the collection.

    Args:
        pairs: (query text, product text).

    Returns:
        (pairs,) float64.

    Source: Robertson & Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond, with k1 1.2 and b 0.75.
    """
    products, product_of = np.unique([text for _, text in pairs], return_inverse=True)
    queries, query_of = np.unique([query for query, _ in pairs], return_inverse=True)
    vectorizer = CountVectorizer(token_pattern=WORD)
    counts = vectorizer.fit_transform(products).astype(np.float64).tocsr()
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    norm = SATURATION * (1 - LENGTH_NORM + LENGTH_NORM * lengths / max(lengths.mean(), 1.0))
    frequencies = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = np.log1p((len(products) - frequencies + 0.5) / (frequencies + 0.5))
    weights = counts.copy()
    weights.data = counts.data * (SATURATION + 1) / (counts.data + np.repeat(norm, np.diff(counts.indptr)))
    asked = vectorizer.transform(queries).astype(bool).multiply(idf).tocsr()
    return np.asarray(weights[product_of].multiply(asked[query_of]).sum(axis=1)).ravel()
