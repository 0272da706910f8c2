"""Records into the model's text: the one function for training and serving.

A bundle stores `TEXT_VERSION` and the fields it was trained with; an engine refuses a version it does not know.
"""

import bisect
import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from planogram.errors import ConfigError

TEXT_VERSION = "2"
FIELD_SEPARATOR = "|"
PRODUCT_FIELDS = ("title", "brand", "category", "attributes", "description", "price", "stock")
Language = Literal["en", "zh"]
FEW_LEFT = 5
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "price": "price {low} to {high}",
        "out": "out of stock",
        "few": "few left",
        "many": "in stock",
        "liked": "liked: ",
        "disliked": "disliked: ",
        "had": "had: ",
        "winter": "winter",
        "spring": "spring",
        "summer": "summer",
        "autumn": "autumn",
    },
    "zh": {
        "price": "价格{low}到{high}",
        "out": "缺货",
        "few": "库存少",
        "many": "有货",
        "liked": "喜欢：",
        "disliked": "不喜欢：",
        "had": "买过：",
        "winter": "冬季",
        "spring": "春季",
        "summer": "夏季",
        "autumn": "秋季",
    },
}
_SEASONS = ("winter", "spring", "summer", "autumn")

_TAG = re.compile(r"<[^<>]{1,200}>")
_SPACE = re.compile(r"\s+")


def clean(text: str | float | None) -> str:
    """Strip markup, resolve entities and fold white space; None and the NaN of data frames become the empty text."""
    if not isinstance(text, str):
        if text is None or text != text:  # noqa: PLR0124 - only NaN differs from itself
            return ""
        raise TypeError(f"{text!r} is a {type(text).__name__}, not a text")
    return _SPACE.sub(" ", _TAG.sub(" ", html.unescape(text))).strip()


def check_fields(fields: Sequence[str]) -> None:
    """Check the names of product fields.

    Raises:
        ConfigError: one is unknown.
    """
    for field in fields:
        if field not in PRODUCT_FIELDS:
            raise ConfigError(
                f"text field {field!r} does not exist", allowed=", ".join(PRODUCT_FIELDS), remedy="name others"
            )


def product_text(product: Mapping[Any, Any], fields: Sequence[str], language: Language = "en") -> str:
    """The text of a product: its fields in the given order, joined by ' | ', empty ones left out.

    Args:
        product: columns of the products table; missing ones count as empty.
        fields: which columns, of `PRODUCT_FIELDS`.
        language: of the words around numbers.
    """
    parts = (_field(field, product.get(field), language) for field in fields)
    return f" {FIELD_SEPARATOR} ".join(part for part in parts if part)


def _field(field: str, value: Any, language: Language) -> str:
    if field == "attributes":
        return _attributes(value)
    if field == "price":
        return price_text(value, language)
    if field == "stock":
        return stock_text(value, language)
    return clean(value)


def price_text(price: float | None, language: Language = "en") -> str:
    """The band of a price in words, from the bounds 1, 2, 5, 10, 20, 50, …; a language model reads no magnitudes."""
    if price is None or not price > 0:
        return ""
    power = 10.0 ** math.floor(math.log10(price))
    bounds = [power * step for step in (1, 2, 5, 10)]
    place = min(bisect.bisect_right(bounds, price), len(bounds) - 1)
    return WORDS[language]["price"].format(low=f"{bounds[place - 1]:g}", high=f"{bounds[place]:g}")


def stock_text(stock: float | None, language: Language = "en") -> str:
    """Whether a product can be had, in words; nothing where that is unknown."""
    if stock is None or math.isnan(stock):
        return ""
    return WORDS[language]["out" if stock <= 0 else "few" if stock <= FEW_LEFT else "many"]


def season_text(month: int, language: Language = "en") -> str:
    """The northern season of a month, 1 to 12."""
    return WORDS[language][_SEASONS[month % 12 // 3]]


def history_text(titles: Sequence[str], liked: Sequence[bool] | None = None, language: Language = "en") -> str:
    """What a shopper had, newest first, since truncation cuts the end; liked and disliked apart where that is known.

    Args:
        titles: oldest first.
        liked: parallel to the titles.
        language: of the words around them.
    """
    words = WORDS[language]
    newest = [clean(title) for title in reversed(titles)]
    if liked is None:
        return words["had"] + "; ".join(newest) if newest else ""
    groups: dict[str, list[str]] = {"liked": [], "disliked": []}
    for title, good in zip(newest, reversed(liked), strict=True):
        groups["liked" if good else "disliked"].append(title)
    return " | ".join(words[name] + "; ".join(members) for name, members in groups.items() if members)


def features_text(features: Mapping[str, Any] | Sequence[tuple[str, Any]] | None) -> str:
    """Names and values of a map, as 'name: value, name: value'."""
    return _attributes(features)


def query_text(query: str, month: int | None = None, language: Language = "en") -> str:
    """The text of a query, with the season of a month, 1 to 12, where that is given."""
    return clean(query) if month is None else f"{clean(query)} | {season_text(month, language)}"


def _attributes(attributes: Any) -> str:
    # Parquet maps come back as a list of pairs, JSON and Python maps as mappings.
    if attributes is None or (isinstance(attributes, float)):
        return ""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return ", ".join(f"{clean(key)}: {clean(value)}" for key, value in pairs if value)
