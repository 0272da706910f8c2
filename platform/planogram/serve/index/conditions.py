"""Filters as typed expressions of LanceDB: values never become part of a query's text."""

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from planogram.serve.values import Filters

if TYPE_CHECKING:
    from lancedb.expr import Expr


def condition(filters: Filters) -> "Expr | None":
    """What holds for every product; None: nothing has to."""
    from lancedb.expr import col, lit

    parts: list[Expr] = []
    if filters.price_min is not None:
        parts.append(col("price") >= lit(filters.price_min))
    if filters.price_max is not None:
        parts.append(col("price") <= lit(filters.price_max))
    if filters.in_stock:
        parts.append(col("stock") > lit(0))
    named = (("brand", filters.brands), ("category", filters.categories), ("locale", filters.locales))
    parts += [one_of(name, values) for name, values in named if values]
    return both(*parts)


def one_of(column: str, values: tuple[str, ...] | list[str]) -> "Expr":
    """Whether a column has one of some values."""
    from lancedb.expr import col, lit

    return col(column).isin([lit(value) for value in values])


def below(column: str, limit: int) -> "Expr":
    """Whether a number is less than a limit."""
    from lancedb.expr import col, lit

    return col(column) < lit(limit)


def both(*parts: "Expr | None") -> "Expr | None":
    """All of some conditions, of which each may be absent."""
    given = [part for part in parts if part is not None]
    return reduce(and_, given) if given else None
