"""Making an index: once for each content of the shop, encoder, and settings of the text analysis."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.data.schema import PRODUCTS, SHOP_MANIFEST
from planogram.errors import DataError, IntegrityError
from planogram.serve.index.behaviour import Behaviour, read_behaviour
from planogram.serve.index.columns import (
    GIVEN,
    NEIGHBOURS_SCHEMA,
    NEIGHBOURS_TABLE,
    PRODUCTS_TABLE,
    SEARCHED,
    SHOPPERS_SCHEMA,
    SHOPPERS_TABLE,
    VECTOR,
    products_schema,
)
from planogram.serve.index.encoder import ProductEncoder
from planogram.serve.settings import IndexArgs

if TYPE_CHECKING:
    from lancedb.db import DBConnection
    from lancedb.table import Table

logger = logging.getLogger(__name__)

INDEX_VERSION = 3
INDEX_MANIFEST = "index.json"
CHUNK = 2048
#: from so many products on, vectors are found by an approximate index
MANY = 50_000


def index_folder(shop: str, args: IndexArgs, encoder: ProductEncoder | None = None) -> Path:
    """The folder of a shop's index; it is built first where there is none.

    Raises:
        NotFoundError: there is no shop.
        IntegrityError: the shop does not verify.
        DataError: the shop has no products.
        StorageError: the place for indexes is not a local folder.
    """
    from filelock import FileLock

    folder = storage.fetch(shop, SHOP_MANIFEST)
    target = _root(args) / index_key(str(folder), args, encoder)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Replicas start together; one builds and the others wait for it.
    with FileLock(f"{target}.lock"):
        if not _is_whole(target):
            _build(folder, target, args, encoder)
        return _live(target)


def built_folder(shop: str, args: IndexArgs, encoder: ProductEncoder | None = None) -> Path | None:
    """The folder of a shop's index, where it is built already: by the shop's manifest alone, for it is asked often."""
    live = _live_path(_root(args) / index_key(shop, args, encoder))
    # Made by `index_folder` alone, which holds the lock.
    return live if live.exists() else None


def _root(args: IndexArgs) -> Path:
    return storage.local_path(args.folder or storage.join(storage.home(), "indexes"))


def index_key(shop: str, args: IndexArgs, encoder: ProductEncoder | None = None) -> str:
    """Name of the index: changes with the shop's tables, the settings, the encoder, and this module's version."""
    files = storage.read_json(storage.join(shop, SHOP_MANIFEST))["files"]
    tables = {name: entry["sha256"] for name, entry in files.items() if name.endswith(".parquet")}
    parts = [INDEX_VERSION, args.language, args.stem, encoder.digest if encoder else "", sorted(tables.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _is_whole(target: Path) -> bool:
    if not target.exists():
        return False
    try:
        storage.verify(target, INDEX_MANIFEST)
    except IntegrityError as error:
        logger.warning("the index is damaged and built anew, later changes have to be sent again: %s", error)
        shutil.rmtree(target)
        # Its files are the same ones.
        shutil.rmtree(_live_path(target), ignore_errors=True)
        return False
    return True


def _live(target: Path) -> Path:
    """The copy that takes changes: the same files by another name, since LanceDB never writes into one."""
    live = _live_path(target)
    if not live.exists():
        aside = live.with_name(f".{live.name}")
        if aside.exists():
            # Of a process that ended half way.
            shutil.rmtree(aside)
        shutil.copytree(target, aside, copy_function=os.link)
        aside.rename(live)
    return live


def _live_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.live")


def _build(shop: Path, target: Path, args: IndexArgs, encoder: ProductEncoder | None) -> None:
    import lancedb

    behaviour = read_behaviour(str(shop))
    products = with_behaviour(read_products(shop), behaviour)
    with storage.sealed_folder(str(target), INDEX_MANIFEST) as (aside, payload):
        place = lancedb.connect(str(aside))
        _build_products(place, products, args, encoder)
        _build_lists(place, NEIGHBOURS_TABLE, behaviour.neighbours, NEIGHBOURS_SCHEMA)
        _build_lists(place, SHOPPERS_TABLE, behaviour.shoppers, SHOPPERS_SCHEMA)
        payload.update(version=INDEX_VERSION, products=len(products), language=args.language, stem=args.stem)
        payload.update(encoder=encoder.digest if encoder else None)
    logger.info("built the index of %d products", len(products))


def read_products(shop: Path) -> pd.DataFrame:
    """The products with the columns of `GIVEN`.

    Raises:
        DataError: there are none.
    """
    paths = sorted(str(path) for path in (shop / PRODUCTS.name).glob("*.parquet"))
    if not paths:
        raise DataError(f"{shop} has no table `products`", remedy="prepare the shop with its products")
    schema = pa.schema([PRODUCTS.arrow_schema.field(name) for name in GIVEN])
    table = ds.dataset(paths, format="parquet", schema=schema).to_table()
    if not table.num_rows:
        raise DataError(f"the table `products` of {shop} is empty", remedy="prepare the shop with its products")
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def with_behaviour(products: pd.DataFrame, behaviour: Behaviour) -> pd.DataFrame:
    """The products with the columns of `MADE`."""
    popularity = products["product_id"].map(behaviour.popularity).fillna(0.0)
    rank = popularity.rank(ascending=False, method="first").astype("int64") - 1
    return products.assign(
        popularity=popularity, popularity_rank=rank, sentiment=products["product_id"].map(behaviour.sentiment)
    )


def _build_products(
    place: "DBConnection", products: pd.DataFrame, args: IndexArgs, encoder: ProductEncoder | None
) -> None:
    from lancedb.index import FTS, BTree

    schema = products_schema(encoder.width if encoder else 0)
    with tempfile.TemporaryDirectory(dir=place.uri) as folder:
        path = str(Path(folder, "products.arrow"))
        # Not as LanceDB asks for them: it does so in threads that are not Python's, in which OpenVINO corrupts memory.
        with pa.ipc.new_stream(path, schema) as written:
            for batch in _batches(products, schema, encoder):
                written.write_batch(batch)
        with pa.memory_map(path) as source, pa.ipc.open_stream(source) as batches:
            table = place.create_table(PRODUCTS_TABLE, batches, schema=schema)
    for name in SEARCHED:
        # Stop words stay: a query may consist of nothing else.
        analysis = FTS(language=args.language, stem=args.stem, remove_stop_words=False, ascii_folding=True)
        table.create_index(name, config=analysis)
    for name in ("product_id", "popularity_rank"):
        table.create_index(name, config=BTree())
    if encoder and len(products) >= MANY:
        _index_vectors(table)


def _batches(products: pd.DataFrame, schema: pa.Schema, encoder: ProductEncoder | None) -> Iterator[pa.RecordBatch]:
    starts = range(0, len(products), CHUNK)
    for start in track(starts, "products", console=Console(stderr=True), transient=True, disable=encoder is None):
        yield from product_rows(products.iloc[start : start + CHUNK], schema, encoder).to_batches()


def product_rows(products: pd.DataFrame, schema: pa.Schema, encoder: ProductEncoder | None) -> pa.Table:
    """Rows of the index: columns of the products, with their vectors."""
    given = pa.Table.from_pandas(products, schema=_without_vector(schema), preserve_index=False)
    if encoder is None:
        return given
    vectors = encoder.products(products.to_dict("records"))
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(vectors)), encoder.width)
    return given.append_column(schema.field(VECTOR), column)


def _without_vector(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name != VECTOR])


def _index_vectors(table: "Table") -> None:
    from lancedb.index import IvfPq

    table.create_index(VECTOR, config=IvfPq(distance_type="dot"))


def _build_lists(place: "DBConnection", name: str, rows: pd.DataFrame, schema: pa.Schema) -> None:
    from lancedb.index import BTree

    table = place.create_table(name, pa.Table.from_pandas(rows, schema=schema, preserve_index=False))
    if len(rows):
        table.create_index(schema.names[0], config=BTree())
