"""Records into text."""

import pytest

from planogram.data.text import check_fields, clean, price_text, product_text, query_text, stock_text
from planogram.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (" a \n\t b ", "a b"),
        ("caf&eacute; &amp; bar", "café & bar"),
        ("<p>red<br/>shoes</p>", "red shoes"),
        ("5 < 6", "5 < 6"),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_clean(given, expected):
    assert clean(given) == expected


def test_what_is_not_a_text_is_refused():
    with pytest.raises(TypeError, match="7 is a int"):
        clean(7)


def test_fields_stand_in_their_order_and_empty_ones_are_left_out():
    product = {"title": "Shoe", "brand": None, "attributes": {"colour": "red"}, "description": float("nan")}
    assert product_text(product, ["attributes", "brand", "title", "description"]) == "colour: red | Shoe"


def test_attributes_of_parquet_and_of_json_give_the_same_text():
    fields = ["attributes"]
    assert product_text({"attributes": [("size", "L")]}, fields) == product_text({"attributes": {"size": "L"}}, fields)


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigError, match="colour"):
        check_fields(["title", "colour"])


@pytest.mark.parametrize(
    ("price", "expected"),
    [(1.0, "price 1 to 2"), (4.99, "price 2 to 5"), (50, "price 50 to 100"), (0.3, "price 0.2 to 0.5")],
)
def test_prices_are_bands(price, expected):
    assert price_text(price) == expected


@pytest.mark.parametrize("price", [None, 0.0, -1.0, float("nan")])
def test_what_is_no_price_has_no_band(price):
    assert price_text(price) == ""


def test_stock_is_said_in_words():
    assert [stock_text(stock) for stock in (0, 3, 40, None)] == ["out of stock", "few left", "in stock", ""]
    assert stock_text(0, "zh") == "缺货"


@pytest.mark.parametrize(
    ("month", "season"), [(1, "winter"), (3, "spring"), (8, "summer"), (11, "autumn"), (12, "winter")]
)
def test_a_query_may_stand_in_its_season(month, season):
    assert query_text(" boots ", month) == f"boots | {season}"
    assert query_text(" boots ") == "boots"
