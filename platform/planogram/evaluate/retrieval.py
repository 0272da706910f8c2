"""A bi-encoder measured by what it finds: the products of each query among all of them."""

from itertools import product
from typing import Any

from planogram.config import EvaluateConfig
from planogram.data.examples import Source, load, texts_of
from planogram.engines.embedding import EmbeddingEngine
from planogram.evaluate.lexical import bm25
from planogram.evaluate.metrics import retrieval_metrics


def evaluate(path: str, task: str, source: Source, config: EvaluateConfig) -> dict[str, Any]:
    """Search with every query of a part among all its products.

    Returns:
        `examples` (pairs that fit), `queries`, `metrics`, and `lexical` (the same of BM25).
    """
    texts = texts_of(load(task, source))
    engine, batch_tokens = EmbeddingEngine(path, config.engine), config.batch_tokens
    cosines = engine.embed(texts.queries, batch_tokens) @ engine.embed(texts.products, batch_tokens).T
    floor = bm25(list(product(texts.queries, texts.products))).reshape(cosines.shape)
    return {
        "examples": len(texts.pairs),
        "queries": len(texts.good),
        "metrics": retrieval_metrics(cosines, texts.good, config.k),
        "intervals": {},
        "lexical": retrieval_metrics(floor, texts.good, config.k),
    }
