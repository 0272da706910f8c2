import time

import pytest

from planogram import storage
from planogram.data.schema import SHOP_MANIFEST
from planogram.errors import DataError, IntegrityError
from planogram.serve.index import search
from planogram.serve.index.build import index_folder
from planogram.serve.index.columns import COLUMNS
from planogram.serve.ingest import Product, row_of
from planogram.serve.settings import RetrieverArgs
from planogram.serve.values import Filters, ValueCount

ROWS = [
    {"product_id": "a", "title": "red shoes", "brand": "Acme", "category": "Shoes", "price": 10.0, "stock": 3},
    {"product_id": "b", "title": "blue shoe", "brand": "O'Neill", "category": "Shoes", "price": 20.0, "stock": 0},
    {"product_id": "c", "title": "lamp", "description": "a red lamp for shoes", "category": "Home", "price": None},
    {"product_id": "d", "title": "Grüne Hose", "brand": 'say "x"', "price": 40.0, "stock": 1, "currency": "EUR"},
    {"product_id": "e'; --", "title": "the who", "attributes": [("color", "red")], "price": 5.0},
]
ALL = Filters()
HOSTILE = [
    '"',
    "'; DROP TABLE products; --",
    "a AND (b",
    "title:red^5 ~",
    "*",
    "?",
    "\\",
    "((((",
    "+ - !",
    "\x00",
    "\u202e",
    "😀",
    "   ",
    "",
    "x" * 5000,
    "red " * 500,
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="module")
def shop(place, write_shop):
    return write_shop(place / "shop", ROWS)


@pytest.fixture(scope="module")
def args(place):
    return RetrieverArgs(folder=str(place / "indexes"))


@pytest.fixture(scope="module")
def index(shop, args, open_index):
    return open_index(shop, args)


def ids(found):
    return [product["product_id"] for product in getattr(found, "products", found)]


def test_a_title_says_more_than_a_description(index):
    assert ids(index.search("red shoes", ALL, 10)) == ["a", "b", "c"]


def test_products_come_with_their_columns(index):
    (found,) = index.search("grune", ALL, 10).products
    assert tuple(found) == COLUMNS
    assert found["title"] == "Grüne Hose" and found["currency"] == "EUR" and found["stock"] == 1
    assert found["list_price"] is None


def test_a_query_of_stop_words_finds(index):
    assert ids(index.search("the who", ALL, 10))[0] == "e'; --"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(price_min=10.0), {"a", "b", "d"}),
        (Filters(price_max=10.0), {"a", "e'; --"}),
        (Filters(price_min=10.0, price_max=20.0), {"a", "b"}),
        (Filters(in_stock=True), {"a", "d"}),
        (Filters(brands=("O'Neill", 'say "x"')), {"b", "d"}),
        (Filters(brands=("acme",)), set()),
        (Filters(categories=("Shoes",), in_stock=True), {"a"}),
        (Filters(brands=("x' OR '1'='1",)), set()),
        (Filters(categories=("\x00", "😀")), set()),
    ],
)
def test_filters_hold(index, filters, found):
    everything = [row["product_id"] for row in ROWS]
    assert set(ids(index.lookup(everything, filters))) == found
    assert set(ids(index.search("red blue shoes lamp hose the who", filters, 10))) == found


def test_filters_come_before_the_limit(index):
    assert ids(index.search("red shoes", Filters(brands=("O'Neill",)), 1)) == ["b"]


def test_lookup_keeps_the_order_given(index):
    assert ids(index.lookup(["e'; --", "zzz", "a"], ALL)) == ["e'; --", "a"]


@pytest.mark.parametrize("query", HOSTILE)
def test_any_text_is_a_query(index, query):
    assert isinstance(index.search(query, ALL, 10).products, list)


def test_an_index_is_reused(shop, args, index, open_index):
    before = {path: path.stat().st_mtime_ns for path in index.folder.rglob("*")}
    again = open_index(shop, args)
    assert again.folder == index.folder
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")} == before


def test_a_damaged_index_is_built_anew(shop, place, open_index):
    args = RetrieverArgs(folder=str(place / "damaged"))
    folder = index_folder(shop, args)
    sealed = folder.with_suffix("")
    victim = next(path for path in sealed.rglob("*.lance") if path.is_file())
    victim.write_bytes(b"x" + victim.read_bytes()[1:])
    assert ids(open_index(shop, args).search("red shoes", ALL, 10)) == ["a", "b", "c"]


def test_other_products_or_settings_make_another_index(shop, args, index, tmp_path, open_index, write_shop):
    other = write_shop(tmp_path / "other", ROWS[:4])
    assert open_index(other, args).folder != index.folder
    plain = open_index(shop, args.model_copy(update={"stem": False}))
    assert plain.folder != index.folder
    assert ids(plain.search("shoe", ALL, 10)) == ["b"]


def test_a_shop_without_products_is_refused(tmp_path, args, open_index, write_shop):
    with storage.sealed_folder(str(tmp_path / "bare"), SHOP_MANIFEST) as (aside, _):
        (aside / "report.json").write_text("{}")
    with pytest.raises(DataError, match="products"):
        open_index(str(tmp_path / "bare"), args)
    with pytest.raises(DataError, match="empty"):
        open_index(write_shop(tmp_path / "empty", []), args)


def test_a_damaged_shop_is_refused(tmp_path, args, open_index, write_shop):
    shop = write_shop(tmp_path / "shop", ROWS)
    file = tmp_path / "shop" / "products" / "0.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"0\.parquet"):
        open_index(shop, args)


def test_changes_are_seen_at_once_and_stay(shop, place, open_index):
    args = RetrieverArgs(folder=str(place / "changed"))
    index = open_index(shop, args)
    version = index.version
    index.change([{**ROWS[0], "title": "green boots", "stock": 7}, {"product_id": "n", "title": "violet boots"}], [])
    assert index.version != version
    assert set(ids(index.search("boots", ALL, 10))) == {"a", "n"}
    assert ids(index.search("red", Filters(brands=("Acme",)), 10)) == []
    (changed,) = index.lookup(["a"], ALL)
    assert (changed["title"], changed["stock"], changed["description"]) == ("green boots", 7, None)
    index.change([], ["n", "nobody"])
    assert ids(open_index(shop, args).search("boots", ALL, 10)) == ["a"]
    assert index.num_products == len(ROWS)


def test_attributes_of_a_changed_product_are_those_given(shop, place, open_index):
    index = open_index(shop, RetrieverArgs(folder=str(place / "attributes")))
    product = Product(product_id="n", title="violet boots", attributes={"color": "violet", "size": "42"}, price=9.5)
    assert index.change([row_of(product)], []) == index.version
    (found,) = index.lookup(["n"], ALL)
    assert dict(found["attributes"]) == {"color": "violet", "size": "42"} and found["price"] == 9.5


def test_another_reader_sees_changes_in_time(shop, place, open_index):
    args = RetrieverArgs(folder=str(place / "shared"), refresh_s=0.01)
    first, second = open_index(shop, args), open_index(shop, args)
    first.change([{"product_id": "n", "title": "violet boots"}], [])
    time.sleep(0.05)
    assert ids(second.search("boots", ALL, 10)) == ["n"]
    assert second.version == first.version


def test_many_changes_are_taken_into_the_index_of_words(shop, place, monkeypatch, open_index):
    monkeypatch.setattr(search, "OPTIMIZE_AFTER", 3)
    index = open_index(shop, RetrieverArgs(folder=str(place / "many")))
    for number in range(7):
        index.change([{"product_id": f"n{number}", "title": f"boots {number}"}], [])
    assert set(ids(index.search("boots", ALL, 20))) == {f"n{number}" for number in range(7)}
    # Three upserts at a time are taken in, and one is left over.
    assert index._table.index_stats("title_idx").num_unindexed_rows == 1


def test_misspelt_words_are_corrected_and_the_answer_says_so(index):
    found = index.search("red shose", ALL, 10)
    assert found.corrected_query == "red shoes" and ids(found)[0] == "a"
    assert index.search("red shoe", ALL, 10).corrected_query is None


def test_spelling_may_be_left_alone(shop, args, open_index):
    found = open_index(shop, args.model_copy(update={"spelling": False})).search("shose", ALL, 10)
    assert (found.products, found.corrected_query) == ([], None)


def test_facets_count_all_that_is_found(index):
    facets = index.search("red blue shoes lamp", ALL, 1, ["brand", "category", "price"]).facets
    assert facets["category"] == [ValueCount("Shoes", 2), ValueCount("Home", 1)]
    assert sum(band.count for band in facets["price"]) == 2
    narrowed = index.search("red blue shoes lamp", Filters(categories=("Home",)), 1, ["category"]).facets
    assert narrowed == {"category": [ValueCount("Home", 1)]}


def test_without_interactions_nothing_is_taken_together_and_nobody_is_known(index):
    assert index.recommend(["a"], [], ALL, 10).products == []
    assert index.history("u-1") == []
    assert len(index.popular(ALL, 10).products) == len(ROWS)
    assert ids(index.similar("a", ALL, 10)) == ["b", "c"]
    assert index.similar("nobody", ALL, 10).products == []
