"""Products by their vectors, with an encoder whose vectors count letters."""

import numpy as np
import pytest

from planogram.serve.index import build
from planogram.serve.settings import RetrieverArgs
from planogram.serve.values import Filters

ALL = Filters()
ROWS = [
    {"product_id": "a", "title": "red shoes", "stock": 3},
    {"product_id": "b", "title": "blue shoe", "stock": 0},
    {"product_id": "c", "title": "lamp"},
    {"product_id": "d", "title": "Grüne Hose", "stock": 1},
]


def ids(found):
    return [product["product_id"] for product in found.products]


class LetterEncoder:
    digest = "letters"
    width = 32

    def query(self, text):
        counts = np.bincount([ord(letter) % 32 for letter in text.lower()], minlength=32).astype(np.float32)
        return counts / max(np.linalg.norm(counts), 1e-9)

    def products(self, products):
        return np.stack([self.query(product["title"]) for product in products])


@pytest.fixture(scope="module")
def shop(tmp_path_factory, write_shop):
    return write_shop(tmp_path_factory.mktemp("meaning") / "shop", ROWS)


@pytest.fixture(scope="module")
def args(tmp_path_factory):
    return RetrieverArgs(folder=str(tmp_path_factory.mktemp("indexes")), spelling=False)


@pytest.fixture(scope="module")
def index(shop, args, open_index):
    return open_index(shop, args, LetterEncoder())


def test_what_has_no_word_of_the_query_is_found_by_meaning(index, shop, args, open_index):
    assert ids(index.search("palm", ALL, 1)) == ["c"]
    assert ids(open_index(shop, args).search("palm", ALL, 1)) == []


def test_words_and_meaning_count_as_they_are_weighed(shop, args, index, open_index):
    # By words the shoes, of which one has both; by letters only the lamp is near.
    by_words = open_index(shop, args.model_copy(update={"vector_weight": 0.0}), LetterEncoder())
    assert ids(by_words.search("red shoes palm", ALL, 1)) == ["a"]
    assert {"a", "c"} <= set(ids(index.search("red shoes palm", ALL, 4)))


def test_filters_hold_for_what_is_found_by_meaning(index):
    assert ids(index.search("palm", Filters(in_stock=True), 10)) and set(
        ids(index.search("palm", Filters(in_stock=True), 10))
    ) == {"a", "d"}


def test_similar_products_are_the_nearest_vectors(index):
    vectors = LetterEncoder().products(ROWS)
    nearest = np.argsort(-(vectors[1:] @ vectors[0]))
    assert ids(index.similar("a", ALL, 10)) == ["bcd"[place] for place in nearest]


def test_changed_products_have_new_vectors(shop, tmp_path, open_index):
    index = open_index(shop, RetrieverArgs(folder=str(tmp_path), spelling=False), LetterEncoder())
    index.change([{"product_id": "n", "title": "zzz zzz"}], [])
    assert ids(index.search("zzzz", ALL, 1)) == ["n"]


def test_another_encoder_makes_another_index(shop, args, index, open_index):
    class Other(LetterEncoder):
        digest = "other"

    assert open_index(shop, args, Other()).folder != index.folder


def test_many_products_are_found_by_an_approximate_index(tmp_path, monkeypatch, open_index, write_shop):
    monkeypatch.setattr(build, "MANY", 256)
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdefghijklmnop"), 12)) for _ in range(600)]
    shop = write_shop(tmp_path / "shop", [{"product_id": str(n), "title": word} for n, word in enumerate(words)])
    index = open_index(shop, RetrieverArgs(folder=str(tmp_path / "indexes"), spelling=False), LetterEncoder())
    assert any(entry.columns == ["vector"] for entry in index._table.list_indices())
    found = [ids(index.similar(str(number), ALL, 5)) for number in range(50)]
    vectors = LetterEncoder().products([{"title": word} for word in words])
    exact = np.argsort(-(vectors[:50] @ vectors.T), axis=1, kind="stable")
    shared = [len({*row} & {str(n) for n in best[1:6]}) / 5 for row, best in zip(found, exact, strict=True)]
    # The index begins its clusters at random; of 600 products, chance would find one in a hundred.
    assert np.mean(shared) > 0.7
