"""Records into the model's text: the one function for training and serving.

A bundle stores `TEXT_VERSION` and the fields it was trained with; an engine refuses a version it does not know.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from planogram.errors import ConfigError

TEXT_VERSION = "1"
PRODUCT_FIELDS = ("title", "brand", "category", "attributes", "description")

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


def product_text(product: Mapping[Any, Any], fields: Sequence[str]) -> str:
    """The text of a product: its fields in the given order, joined by ' | ', empty ones left out.

    Args:
        product: columns of the products table; missing ones count as empty.
        fields: which columns, of `PRODUCT_FIELDS`.
    """
    parts = (_attributes(product.get(f)) if f == "attributes" else clean(product.get(f)) for f in fields)
    return " | ".join(part for part in parts if part)


def query_text(query: str) -> str:
    """The text of a query."""
    return clean(query)


def _attributes(attributes: Any) -> str:
    # Parquet maps come back as a list of pairs, JSON and Python maps as mappings.
    if attributes is None or (isinstance(attributes, float)):
        return ""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return ", ".join(f"{clean(key)}: {clean(value)}" for key, value in pairs if value)
