"""The tables of an index and their columns."""

import pyarrow as pa

from planogram.data.schema import PRODUCTS

PRODUCTS_TABLE = "products"
NEIGHBOURS_TABLE = "neighbours"
SHOPPERS_TABLE = "shoppers"
VECTOR = "vector"
#: of the products table of the shop
GIVEN = (
    "product_id",
    "title",
    "description",
    "brand",
    "category",
    "attributes",
    "price",
    "list_price",
    "cost",
    "stock",
    "currency",
    "locale",
)
#: made from what shoppers did and wrote
MADE = ("popularity", "popularity_rank", "sentiment")
COLUMNS = (*GIVEN, *MADE)
#: what is searched by words, and how much a word there says about what a product is
SEARCHED = {"title": 3.0, "brand": 2.0, "category": 2.0, "description": 1.0}

NEIGHBOURS_SCHEMA = pa.schema(
    [("product_id", pa.string()), ("neighbours", pa.list_(pa.string())), ("weights", pa.list_(pa.float32()))]
)
SHOPPERS_SCHEMA = pa.schema([("user_id", pa.string()), ("owned", pa.list_(pa.string()))])


def products_schema(width: int = 0) -> pa.Schema:
    """Of the products of an index, with vectors where they have a width."""
    fields = [PRODUCTS.arrow_schema.field(name) for name in GIVEN]
    fields += [pa.field("popularity", pa.float32()), pa.field("popularity_rank", pa.int64())]
    fields += [pa.field("sentiment", pa.float32())]
    return pa.schema([*fields, pa.field(VECTOR, pa.list_(pa.float32(), width))] if width else fields)
