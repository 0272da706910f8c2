"""The scores of judged products, by evaluation and over HTTP: (query, product_id) -> score of the head `relevance`."""

from tests.conftest import tiny_judgments, tiny_products
from tests.serve.whole import Asked

from planogram.config import EngineName, EvaluateConfig, SplitConfig
from planogram.data.examples import load
from planogram.data.text import product_text, query_text
from planogram.evaluate.scoring import score_examples
from planogram.evaluate.sources import source_of
from planogram.registry.bundle import open_bundle
from planogram.registry.store import Registry
from planogram.serve.settings import AppArgs

Scores = dict[tuple[str, str], float]
PRODUCTS = {product["product_id"]: product for product in tiny_products()}
SPLIT = SplitConfig(by="query")


def evaluated(bundle: str, shop: str, engine: EngineName, part: str = "all") -> Scores:
    """As `planogram evaluate` scores a part of the tiny shop."""
    config = EvaluateConfig(bundle=bundle, shop=shop, split=SPLIT, part=part, engine=engine, workers=0)
    _, manifest = open_bundle(bundle)
    examples = load("relevance", source_of(manifest, config))
    scored = score_examples(Registry().resolve(bundle), [examples], config)["score_0"]
    by_text = dict(zip(examples.pairs, map(float, scored), strict=True))
    texts = {name: product_text(product, manifest.text_fields) for name, product in PRODUCTS.items()}
    judged = [(row["query"], row["product_id"]) for row in tiny_judgments()]
    pairs = {pair: (query_text(pair[0]), texts[pair[1]]) for pair in judged}
    return {pair: by_text[text] for pair, text in pairs.items() if text in by_text}


def served(asked: Asked, bundle: str, shop: str, engine: EngineName, folder: str) -> dict[str, Scores]:
    """Route -> as it answers for every judged product: to `/v1/rerank` its text is sent, to `/search` its id."""
    fields = open_bundle(bundle)[1].text_fields
    judged: dict[str, list[str]] = {}
    for row in tiny_judgments():
        judged.setdefault(row["query"], []).append(row["product_id"])
    texts = {name: product_text(product, fields) for name, product in PRODUCTS.items()}
    requests = [("/v1/rerank", {"query": q, "documents": [texts[name] for name in ids]}) for q, ids in judged.items()]
    requests += [("/search", {"query": q, "candidates": ids, "top_k": len(ids)}) for q, ids in judged.items()]
    args = AppArgs.model_validate(
        {
            "ranker": bundle,
            "shop": shop,
            "engine": {"engine": engine, "threads": 1},
            "retriever": {"folder": folder, "threads": 1},
            "cache": {"scores_mb": 0, "answers_mb": 0},
            "follow": {"period_s": 0},
        }
    )
    answers = asked(args, requests)
    reranked = {
        (query, ids[result["index"]]): result["relevance_score"]
        for (query, ids), answer in zip(judged.items(), answers[: len(judged)], strict=True)
        for result in answer["results"]
    }
    searched = {
        (query, result["product_id"]): result["signals"]["relevance"]
        for query, answer in zip(judged, answers[len(judged) :], strict=True)
        for result in answer["results"]
    }
    return {"/v1/rerank": reranked, "/search": searched}
