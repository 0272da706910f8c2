"""The full-text index over a shop's products: LanceDB on local disk, built once per content of the shop."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from planogram import storage
from planogram.data.schema import PRODUCTS, SHOP_MANIFEST
from planogram.errors import DataError, IntegrityError
from planogram.serve.backend import Filters
from planogram.serve.settings import RetrieverArgs

if TYPE_CHECKING:
    from lancedb.expr import Expr
    from lancedb.table import Table

logger = logging.getLogger(__name__)

INDEX_VERSION = 1
INDEX_MANIFEST = "index.json"
TABLE = "products"
# A word in the title says more about what a product is than the same word in its description.
SEARCHED = {"title": 3.0, "brand": 2.0, "category": 2.0, "description": 1.0}
COLUMNS = (
    "product_id",
    "title",
    "description",
    "brand",
    "category",
    "attributes",
    "price",
    "list_price",
    "stock",
    "currency",
)


class ProductIndex:
    """Searches the products of one shop. Safe for one thread at a time.

    Args:
        folder: an index that `open_index` made.
    """

    def __init__(self, folder: Path) -> None:
        import lancedb

        self.folder = folder
        self._table: Table = lancedb.connect(str(folder)).open_table(TABLE)
        self.num_products: int = self._table.count_rows()

    def search(self, query: str, filters: Filters, limit: int) -> list[dict[str, Any]]:
        """Products by falling BM25, at most `limit`; ties by product id.

        Args:
            query: any text; it has no syntax.
            filters: hold for every product, before the limit is applied.
            limit: largest number of products.
        """
        from lancedb.query import MultiMatchQuery

        text = MultiMatchQuery(query, list(SEARCHED), boosts=list(SEARCHED.values()))
        search = self._table.search(text, query_type="fts").select([*COLUMNS, "_score"]).limit(limit)
        rows = self._rows(search, condition(filters))
        rows.sort(key=lambda row: (-row["_score"], row["product_id"]))
        return [{name: row[name] for name in COLUMNS} for row in rows]

    def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids that meet the filters, in the order given; others are left out."""
        from lancedb.expr import col, lit

        wanted = col("product_id").isin([lit(product_id) for product_id in product_ids])
        search = self._table.search().select(list(COLUMNS)).limit(len(product_ids))
        extra = condition(filters)
        found = {row["product_id"]: row for row in self._rows(search, wanted if extra is None else wanted & extra)}
        return [found[product_id] for product_id in product_ids if product_id in found]

    def _rows(self, search: Any, where: "Expr | None") -> list[dict[str, Any]]:
        if where is not None:
            search = search.where(where)
        rows: list[dict[str, Any]] = search.to_arrow().to_pylist()
        return rows


def condition(filters: Filters) -> "Expr | None":
    """The filters as a typed expression: values never become part of a query's text."""
    from lancedb.expr import col, lit

    parts: list[Expr] = []
    if filters.price_min is not None:
        parts.append(col("price") >= lit(filters.price_min))
    if filters.price_max is not None:
        parts.append(col("price") <= lit(filters.price_max))
    if filters.in_stock:
        parts.append(col("stock") > lit(0))
    for name, values in (("brand", filters.brands), ("category", filters.categories)):
        if values:
            parts.append(col(name).isin([lit(value) for value in values]))
    return reduce(and_, parts) if parts else None


def open_index(shop: str, args: RetrieverArgs) -> ProductIndex:
    """Open the index of a shop, and build it first where there is none for this content and these settings.

    Raises:
        NotFoundError: there is no shop.
        IntegrityError: the shop does not verify.
        DataError: the shop has no products.
        StorageError: the place for indexes is not a local folder.
    """
    from filelock import FileLock

    folder = storage.fetch(shop, SHOP_MANIFEST)
    root = storage.local_path(args.folder or storage.join(storage.home(), "indexes"))
    root.mkdir(parents=True, exist_ok=True)
    target = root / index_key(folder, args)
    # Replicas start together; one builds and the others wait for it.
    with FileLock(f"{target}.lock"):
        if not _is_whole(target):
            _build(read_products(folder), target, args)
    return ProductIndex(target)


def index_key(shop: Path, args: RetrieverArgs) -> str:
    """Name of the index: changes with the products, the settings of the text analysis, and this module's version."""
    files = storage.read_json(str(shop / SHOP_MANIFEST))["files"]
    products = {name: entry["sha256"] for name, entry in files.items() if name.startswith(f"{PRODUCTS.name}/")}
    parts = [INDEX_VERSION, args.language, args.stem, sorted(products.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_products(shop: Path) -> pa.Table:
    """The products that have an id and a title, with `COLUMNS`.

    Raises:
        DataError: there are none.
    """
    paths = sorted(str(path) for path in (shop / PRODUCTS.name).glob("*.parquet"))
    if not paths:
        raise DataError(f"{shop} has no table `products`", remedy="prepare the shop with its products")
    schema = pa.schema([PRODUCTS.arrow_schema.field(name) for name in COLUMNS])
    table = ds.dataset(paths, format="parquet", schema=schema).to_table()
    if not table.num_rows:
        raise DataError(f"the table `products` of {shop} is empty", remedy="prepare the shop with its products")
    return table


def _is_whole(target: Path) -> bool:
    if not target.exists():
        return False
    try:
        storage.verify(target, INDEX_MANIFEST)
    except IntegrityError as error:
        # An index is made from the shop alone: making it again loses nothing.
        logger.warning("index is damaged and is built anew: %s", error)
        shutil.rmtree(target)
        return False
    return True


def _build(products: pa.Table, target: Path, args: RetrieverArgs) -> None:
    import lancedb
    from lancedb.index import FTS, BTree

    with storage.sealed_folder(str(target), INDEX_MANIFEST) as (aside, payload):
        table = lancedb.connect(str(aside)).create_table(TABLE, products)
        for name in SEARCHED:
            # Stop words stay: a query may consist of nothing else.
            analysis = FTS(language=args.language, stem=args.stem, remove_stop_words=False, ascii_folding=True)
            table.create_index(name, config=analysis)
        table.create_index("product_id", config=BTree())
        payload.update(version=INDEX_VERSION, products=products.num_rows, language=args.language, stem=args.stem)
    logger.info("built the index of %d products", products.num_rows)
