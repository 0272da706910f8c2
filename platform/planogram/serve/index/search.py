"""Reading and changing an index."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from planogram.serve.index.build import product_rows
from planogram.serve.index.columns import (
    COLUMNS,
    GIVEN,
    MADE,
    NEIGHBOURS_TABLE,
    PRODUCTS_TABLE,
    SEARCHED,
    SHOPPERS_TABLE,
    VECTOR,
    products_schema,
)
from planogram.serve.index.conditions import below, both, condition, one_of
from planogram.serve.index.encoder import ProductEncoder
from planogram.serve.index.facets import count_facets
from planogram.serve.index.fusion import fuse
from planogram.serve.index.spelling import Speller
from planogram.serve.settings import RetrieverArgs
from planogram.serve.values import Filters, Retrieved

if TYPE_CHECKING:
    from lancedb.expr import Expr

Product = dict[str, Any]
#: products by which facets are counted
FACET_PRODUCTS = 2000
#: changes after which the indexes of words and vectors take them in
OPTIMIZE_AFTER = 1000
#: of the approximate vector index: how many lists are read, and how many times the products are compared exactly
PROBES, REFINE = 20, 5
#: what a product further back in a history says of the next one, of what the newest says
HISTORY_DECAY = 0.8


class ProductIndex:
    """Searches the products of one shop. For one thread at a time.

    Args:
        folder: an index that `index_folder` made.
        args: how it is searched.
        encoder: the one it was made with; None: words alone.
    """

    def __init__(self, folder: Path, args: RetrieverArgs, encoder: ProductEncoder | None = None) -> None:
        import lancedb

        self.folder = folder
        self._args = args
        self._encoder = encoder
        # Another replica of this machine may change the same tables.
        place = lancedb.connect(str(folder), read_consistency_interval=timedelta(seconds=args.refresh_s))
        self._table = place.open_table(PRODUCTS_TABLE)
        self._neighbours = place.open_table(NEIGHBOURS_TABLE)
        self._shoppers = place.open_table(SHOPPERS_TABLE)
        self._speller = Speller(self._texts()) if args.spelling else None
        self._changes = 0

    @property
    def num_products(self) -> int:
        """Rows of the products table."""
        return int(self._table.count_rows())

    @property
    def version(self) -> str:
        """Changes with every change of the products."""
        return f"{self.folder.name}/{self._table.version}"

    def search(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:
        """Products for a text by words and, where there is an encoder, by meaning.

        Args:
            query: any text; it has no syntax.
            filters: hold for every product, before the limit is applied.
            limit: largest number of products.
            facets: of brand, category and price.
        """
        where = condition(filters)
        corrected = self._speller.corrected(query, self._is_known) if self._speller else None
        by_words = self._by_words(corrected or query, where, limit)
        products = by_words
        if self._encoder:
            by_meaning = self._by_meaning(self._encoder.query(corrected or query), where, limit)
            products = _fused([(1.0, by_words), (self._args.vector_weight, by_meaning)], limit)
        counted = count_facets(self._facet_rows(corrected or query, where, facets), facets) if facets else {}
        return Retrieved(products, counted, corrected)

    def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[Product]:
        """The products with these ids that meet the filters, in the order given; others are left out."""
        where = both(one_of("product_id", list(product_ids)), condition(filters))
        found = {product["product_id"]: product for product in self._rows(where, len(product_ids))}
        return [found[product_id] for product_id in product_ids if product_id in found]

    def first(self, product_ids: Sequence[str], filters: Filters, limit: int) -> list[Product]:
        """The first so many products of a long ranking that meet the filters, in its order."""
        found: list[Product] = []
        start, size = 0, 4 * limit
        while start < len(product_ids) and len(found) < limit:
            found += self.lookup(product_ids[start : start + size], filters)
            start, size = start + size, 8 * size
        return found[:limit]

    def similar(self, product_id: str, filters: Filters, limit: int) -> Retrieved:
        """The products most like one, without itself; nothing where it is not known."""
        known = self._rows(one_of("product_id", [product_id]), 1, (*COLUMNS, *([VECTOR] if self._encoder else [])))
        if not known:
            return Retrieved([])
        where = condition(filters)
        if self._encoder:
            found = self._by_meaning(known[0][VECTOR], where, limit + 1)
        else:
            found = self._by_words(known[0]["title"], where, limit + 1)
        return Retrieved([product for product in found if product["product_id"] != product_id][:limit])

    def popular(self, filters: Filters, limit: int) -> Retrieved:
        """The products that most shoppers take."""
        where, total, first = condition(filters), self.num_products, 4 * limit
        found: list[Product] = []
        while first < total and len(found) < limit:
            found = self._rows(both(below("popularity_rank", first), where), first)
            first *= 8
        if len(found) < limit:
            # Ranks have gaps where products are gone, so that the last ones may lie beyond the number of products.
            found = self._rows(where, total)
        return Retrieved(sorted(found, key=lambda product: product["popularity_rank"])[:limit])

    def recommend(self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int) -> Retrieved:
        """What shoppers take beside the products of a history (ids, oldest first), by their neighbours."""
        where = one_of("product_id", list(history))
        rows = {row["product_id"]: row for row in self._neighbours.search().where(where).limit(len(history)).to_list()}
        scores: dict[str, float] = {}
        for age, product_id in enumerate(reversed(history)):
            row = rows.get(product_id, {"neighbours": (), "weights": ()})
            for name, weight in zip(row["neighbours"], row["weights"], strict=True):
                scores[name] = scores.get(name, 0.0) + weight * HISTORY_DECAY**age
        hidden = {*exclude, *history}
        wanted = sorted((name for name in scores if name not in hidden), key=lambda name: (-scores[name], name))
        return Retrieved(self.lookup(wanted, filters)[:limit]) if wanted else Retrieved([])

    def history(self, user_id: str) -> list[str]:
        """Ids of the products that a shopper bought, the oldest first."""
        rows = self._shoppers.search().where(one_of("user_id", [user_id])).limit(1).to_list()
        return list(rows[0]["owned"]) if rows else []

    def _upsert(self, products: Sequence[Product]) -> None:
        ids = [product["product_id"] for product in products]
        before = {row["product_id"]: row for row in self._rows(one_of("product_id", ids), len(ids))}
        unknown = {"popularity": 0.0, "popularity_rank": self.num_products, "sentiment": None}
        rows = [
            {name: product.get(name) for name in GIVEN}
            | {name: before.get(product["product_id"], unknown)[name] for name in MADE}
            for product in products
        ]
        schema = products_schema(self._encoder.width if self._encoder else 0)
        frame = pd.DataFrame(rows).convert_dtypes()
        merge = self._table.merge_insert("product_id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(product_rows(frame, schema, self._encoder))

    def change(self, products: Sequence[Product], deleted: Sequence[str]) -> str:
        """Add or replace products, take others out by their ids.

        Args:
            products: columns of the products table; what shoppers did with those of the same id stays.
            deleted: ids; those that are not there are passed over.

        Returns:
            The version of the catalogue afterwards.
        """
        if products:
            self._upsert(products)
        if deleted:
            self._table.delete(one_of("product_id", list(deleted)))
        self._changes += len(products) + len(deleted)
        if self._changes >= OPTIMIZE_AFTER:
            self._table.optimize()
            self._changes = 0
        return self.version

    def _by_words(
        self, query: str, where: "Expr | None", limit: int, columns: Sequence[str] = COLUMNS
    ) -> list[Product]:
        """By falling BM25; ties by product id."""
        from lancedb.query import MultiMatchQuery

        text = MultiMatchQuery(query, list(SEARCHED), boosts=list(SEARCHED.values()))
        search = self._table.search(text, query_type="fts").select([*columns, "_score"]).limit(limit)
        rows: list[Product] = (search if where is None else search.where(where)).to_list()
        rows.sort(key=lambda row: (-row["_score"], row["product_id"]))
        return [{name: row[name] for name in columns} for row in rows]

    def _by_meaning(self, vector: Any, where: "Expr | None", limit: int) -> list[Product]:
        search = self._table.search(vector, query_type="vector", vector_column_name=VECTOR).distance_type("dot")
        search = search.nprobes(PROBES).refine_factor(REFINE).select([*COLUMNS, "_distance"]).limit(limit)
        rows: list[Product] = (search if where is None else search.where(where, prefilter=True)).to_list()
        return [{name: row[name] for name in COLUMNS} for row in rows]

    def _rows(self, where: "Expr | None", limit: int, columns: Sequence[str] = COLUMNS) -> list[Product]:
        search = self._table.search().select(list(columns)).limit(limit)
        rows: list[Product] = (search if where is None else search.where(where)).to_list()
        return rows

    def _facet_rows(self, query: str, where: "Expr | None", facets: Sequence[str]) -> pd.DataFrame:
        rows = self._by_words(query, where, FACET_PRODUCTS, ["product_id", *facets])
        return pd.DataFrame(rows, columns=["product_id", *facets])

    def _is_known(self, word: str) -> bool:
        return bool(self._by_words(word, None, 1, ["product_id"]))

    def _texts(self) -> list[str]:
        columns = ["title", "brand", "category"]
        table = self._table.search().select(columns).limit(self.num_products).to_arrow()
        return [text for name in columns for text in table[name].to_pylist() if text]


def _fused(rankings: Sequence[tuple[float, list[Product]]], limit: int) -> list[Product]:
    products = {str(product["product_id"]): product for _, found in rankings for product in found}
    ids = fuse([(weight, [str(product["product_id"]) for product in found]) for weight, found in rankings], limit)
    return [products[name] for name in ids]
