"""What clients send: real texts of a length, and streams that repeat."""

import json
from collections import Counter

import pytest

from planogram.benchmark.bodies import Texts, rerank, workload, zipf
from planogram.config import RequestsConfig
from planogram.data.tokenizer import PairTokenizer
from planogram.errors import ConfigError, DataError

from ..conftest import tiny_products

SMALL = RequestsConfig(documents=3, tokens=20, distinct=5, candidates=7, top_k=2)


@pytest.mark.parametrize("with_shop", [True, False])
def test_documents_are_cut_and_repeated_to_a_length(tiny_bundle, tiny_shop, with_shop):
    texts = Texts(str(tiny_bundle), tiny_shop if with_shop else None, SMALL)
    made = rerank(texts)
    assert (made.path, made.pairs, len(made.bodies)) == ("/v1/rerank", 3, 5)
    assert len(set(made.bodies)) == 5
    tokenizer = PairTokenizer.from_folder(tiny_bundle, 32)
    for body, (query, documents) in zip(made.bodies, made.texts, strict=True):
        assert json.loads(body) == {"query": query, "documents": documents, "return_documents": False}
        lengths = tokenizer.encode([(query, document) for document in documents]).lengths
        assert all(abs(length - 20) <= 1 for length in lengths)
    assert texts.mean_tokens(made) == pytest.approx(20, abs=1)


def test_texts_may_stay_as_the_shop_has_them(tiny_bundle, tiny_shop):
    texts = Texts(str(tiny_bundle), tiny_shop, SMALL.model_copy(update={"tokens": None}))
    assert {document for _, documents in rerank(texts).texts for document in documents} <= set(texts.products)


def test_the_same_seed_draws_the_same_requests(tiny_bundle):
    first, again, other = (
        rerank(Texts(str(tiny_bundle), None, SMALL.model_copy(update={"seed": seed}))).bodies for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_model_is_not_asked_for_more_than_it_reads(tiny_bundle):
    with pytest.raises(ConfigError, match="reads 32"):
        Texts(str(tiny_bundle), None, SMALL.model_copy(update={"tokens": 33}))


def test_searches_are_the_shops_queries(tiny_bundle, tiny_shop):
    made = workload("search", Texts(str(tiny_bundle), tiny_shop, SMALL), tiny_shop)
    bodies = [json.loads(body) for body in made.bodies]
    assert made.path == "/search" and made.pairs == 7 and len(bodies) == 5
    assert all(body["num_candidates"] == 7 and body["top_k"] == 2 and " " in body["query"] for body in bodies)


def test_repeated_queries_go_where_they_can(tiny_bundle, tiny_shop):
    for shop, path in ((tiny_shop, "/search"), (None, "/v1/rerank")):
        made = workload("cached", Texts(str(tiny_bundle), shop, SMALL), shop)
        assert made.path == path and len(made.order) > 1000 and set(made.order) == set(range(5))


def test_prices_are_asked_for_products_that_have_one(tiny_bundle, make_shop):
    products = [row | {"price": 10.0 if place % 2 else None} for place, row in enumerate(tiny_products())]
    shop = make_shop(products=products)
    made = workload("price", Texts(str(tiny_bundle), shop, RequestsConfig(items=5, distinct=3, tokens=16)), shop)
    assert (made.path, made.pairs, len(made.bodies)) == ("/price", 5, 3)
    items = [item for body in made.bodies for item in json.loads(body)["items"]]
    assert {item["product_id"] for item in items} == {row["product_id"] for row in products if row["price"]}
    assert {item["floor"] for item in items} == {8.0}


def test_a_shop_without_prices_is_named(tiny_bundle, tiny_shop):
    with pytest.raises(DataError, match="no product with a price"):
        workload("price", Texts(str(tiny_bundle), tiny_shop, RequestsConfig(tokens=16)), tiny_shop)


@pytest.mark.parametrize(("exponent", "share"), [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)])
def test_the_stream_follows_zipfs_law(exponent, share):
    counts = Counter(zipf(10, exponent, seed=0))
    assert counts[0] / counts[1] == pytest.approx(share, rel=0.15)
    assert set(counts) == set(range(10))
