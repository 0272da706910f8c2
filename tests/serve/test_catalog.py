import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planogram import storage
from planogram.data.schema import PRODUCTS, SHOP_MANIFEST
from planogram.errors import DataError, IntegrityError
from planogram.serve.backend import Filters
from planogram.serve.catalog import COLUMNS, open_index
from planogram.serve.settings import RetrieverArgs

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


def write_shop(folder, rows):
    with storage.sealed_folder(str(folder), SHOP_MANIFEST) as (aside, payload):
        (aside / "products").mkdir()
        half = len(rows) // 2
        for number, part in enumerate((rows[:half], rows[half:])):
            table = pa.Table.from_pylist(part, schema=PRODUCTS.arrow_schema)
            pq.write_table(table, aside / "products" / f"{number}.parquet")
        payload["name"] = "test"
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="module")
def shop(place):
    return write_shop(place / "shop", ROWS)


@pytest.fixture(scope="module")
def args(place):
    return RetrieverArgs(folder=str(place / "indexes"))


@pytest.fixture(scope="module")
def index(shop, args):
    return open_index(shop, args)


def ids(products):
    return [product["product_id"] for product in products]


def test_a_title_says_more_than_a_description(index):
    assert ids(index.search("red shoes", ALL, 10)) == ["a", "b", "c"]


def test_products_come_with_their_columns(index):
    (found,) = index.search("grune", ALL, 10)
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
    assert isinstance(index.search(query, ALL, 10), list)


def test_an_index_is_reused(shop, args, index):
    before = {path: path.stat().st_mtime_ns for path in index.folder.rglob("*")}
    again = open_index(shop, args)
    assert again.folder == index.folder
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")} == before


def test_a_damaged_index_is_built_anew(shop, place):
    args = RetrieverArgs(folder=str(place / "damaged"))
    folder = open_index(shop, args).folder
    victim = next(path for path in folder.rglob("*.lance") if path.is_file())
    victim.write_bytes(b"x" + victim.read_bytes()[1:])
    assert ids(open_index(shop, args).search("red shoes", ALL, 10)) == ["a", "b", "c"]


def test_other_products_or_settings_make_another_index(shop, args, index, tmp_path):
    other = write_shop(tmp_path / "other", ROWS[:4])
    assert open_index(other, args).folder != index.folder
    plain = open_index(shop, args.model_copy(update={"stem": False}))
    assert plain.folder != index.folder
    assert ids(plain.search("shoe", ALL, 10)) == ["b"]


def test_a_shop_without_products_is_refused(tmp_path, args):
    with storage.sealed_folder(str(tmp_path / "bare"), SHOP_MANIFEST) as (aside, _):
        (aside / "report.json").write_text("{}")
    with pytest.raises(DataError, match="products"):
        open_index(str(tmp_path / "bare"), args)
    with pytest.raises(DataError, match="empty"):
        open_index(write_shop(tmp_path / "empty", []), args)


def test_a_damaged_shop_is_refused(tmp_path, args):
    shop = write_shop(tmp_path / "shop", ROWS)
    file = tmp_path / "shop" / "products" / "0.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"0\.parquet"):
        open_index(shop, args)
