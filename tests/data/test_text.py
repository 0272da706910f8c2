"""Records into text."""

import pytest

from planogram.data.text import check_fields, clean, product_text
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
