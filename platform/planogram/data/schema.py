"""The tables of a shop: columns, types and the rules that every row keeps.

A prepared shop is a sealed folder with one sub-folder of Parquet files per table, `report.json`, `report.html`, and
`quarantine/` for the rows that broke a rule. Its manifest is `shop.json`.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

SHOP_MANIFEST = "shop.json"

Kind = Literal["string", "float", "int", "timestamp", "list", "map"]

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "float": pa.float64(),
    "int": pa.int64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "list": pa.list_(pa.string()),
    "map": pa.map_(pa.string(), pa.string()),
}


@dataclass(frozen=True)
class Column:
    """A column and its rule.

    Attributes:
        minimum: smallest allowed value, itself allowed.
        above: largest value that is not allowed.
        choices: the allowed values, of a list the allowed elements; empty: all.
    """

    name: str
    kind: Kind = "string"
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the shop.

    Attributes:
        key: columns that identify a row; empty: the whole row does.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def arrow_schema(self) -> pa.Schema:
        """The Parquet schema; the order of columns is that of the table."""
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.kind], nullable=not c.required) for c in self.columns])

    def column(self, name: str) -> Column:
        """The column of this name; KeyError where there is none."""
        return {column.name: column for column in self.columns}[name]


EVENT_TYPES = ("impression", "click", "cart", "purchase", "cancellation", "rating")
SPLITS = ("train", "valid", "test")

_SPLIT = Column("split", choices=SPLITS)

PRODUCTS = Table(
    "products",
    (
        Column("product_id", required=True),
        Column("title", required=True),
        Column("description"),
        Column("brand"),
        Column("category"),
        Column("attributes", "map"),
        Column("price", "float", minimum=0),
        Column("list_price", "float", minimum=0),
        Column("cost", "float", minimum=0),
        Column("stock", "int", minimum=0),
        Column("currency"),
        Column("locale"),
        Column("updated_at", "timestamp"),
    ),
    key=("product_id",),
)

JUDGMENTS = Table(
    "judgments",
    (
        Column("query", required=True),
        Column("product_id", required=True),
        Column("grade", "float", required=True, minimum=0),
        Column("grade_variance", "float", minimum=0),
        Column("locale"),
        _SPLIT,
    ),
)

INTERACTIONS = Table(
    "interactions",
    (
        Column("event_id", required=True),
        Column("timestamp", "timestamp", required=True),
        Column("event_type", required=True, choices=EVENT_TYPES),
        Column("product_id", required=True),
        Column("user_id"),
        Column("session_id"),
        Column("ranking_id"),
        Column("query"),
        Column("position", "int", minimum=1),
        Column("price", "float", minimum=0),
        # A cancellation takes back what was bought: its quantity is negative, every other one is positive.
        Column("quantity", "int"),
        Column("rating", "float"),
        Column("propensity", "float", above=0, maximum=1),
        _SPLIT,
    ),
    key=("event_id",),
)

REVIEWS = Table(
    "reviews",
    (
        Column("review_id", required=True),
        Column("text", required=True),
        Column("product_id"),
        Column("user_id"),
        Column("rating", "float"),
        Column("label"),
        Column("category"),
        Column("locale"),
        _SPLIT,
    ),
    key=("review_id",),
)

PAIRS = Table(
    "pairs",
    (
        Column("text_a", required=True),
        Column("text_b", required=True),
        Column("label", "int", required=True, minimum=0, maximum=1),
        _SPLIT,
    ),
)

DEMAND = Table(
    "demand",
    (
        Column("product_id", required=True),
        Column("price", "float", required=True, above=0),
        Column("units", "float", minimum=0),
        Column("chosen", "int", minimum=0, maximum=1),
        Column("choice_set"),
        Column("features", "map"),
        Column("period"),
        Column("store"),
        _SPLIT,
    ),
)

# What a shopper had, the oldest first, and the product that came next. History ids name the rows, not the shoppers.
HISTORIES = Table(
    "histories",
    (
        Column("history_id", required=True),
        Column("product_id", required=True),
        Column("history", "list", required=True),
        # Parallel to `history`: whether each of its products was liked.
        Column("history_labels", "list", choices=("0", "1")),
        # Whether the next product was liked; without a value it was taken.
        Column("label", "float", minimum=0, maximum=1),
        Column("user_id"),
        Column("timestamp", "timestamp"),
        _SPLIT,
    ),
    key=("history_id",),
)

SESSIONS = Table(
    "sessions",
    (
        Column("session_id", required=True),
        Column("purchased", "int", required=True, minimum=0, maximum=1),
        Column("features", "map"),
        Column("timestamp", "timestamp"),
        Column("user_id"),
        _SPLIT,
    ),
    key=("session_id",),
)

_ALL = (PRODUCTS, JUDGMENTS, INTERACTIONS, REVIEWS, PAIRS, DEMAND, HISTORIES, SESSIONS)
TABLES: dict[str, Table] = {table.name: table for table in _ALL}
