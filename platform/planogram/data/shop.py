"""A prepared shop: its manifest and its tables."""

from pathlib import Path
from typing import Any

import pandas as pd

from planogram import storage
from planogram.data.schema import SHOP_MANIFEST, TABLES
from planogram.errors import DataError, IntegrityError

SHOP_FORMAT = 1


def open_shop(shop: str, *, verify: bool = True) -> dict[str, Any]:
    """The manifest of a prepared shop.

    Args:
        shop: its folder or URI.
        verify: hash every file against the seal. Without it only the manifest is read: for callers that have verified
            the shop before, or read one column of a very large one.

    Raises:
        NotFoundError: there is no such folder.
        IntegrityError: it is not sealed, or a file is not what the seal says.
        DataError: a later version of Planogram wrote it.
    """
    manifest = storage.verify(_folder(shop), SHOP_MANIFEST) if verify else _read_manifest(shop)
    if manifest.get("format") != SHOP_FORMAT:
        raise DataError(
            f"{shop} has the shop format {manifest.get('format')!r}",
            allowed=str(SHOP_FORMAT),
            remedy="prepare the shop again with this version of Planogram",
        )
    return manifest


def has_table(shop: str, table: str) -> bool:
    """Whether the shop has any row of a table."""
    manifest = _read_manifest(shop)
    return any(name.startswith(f"{table}/") and name.endswith(".parquet") for name in manifest["files"])


def read_table(shop: str, table: str, columns: list[str] | None = None, *, verify: bool = False) -> pd.DataFrame:
    """A table of a prepared shop, in the order in which it was written.

    Args:
        shop: folder or URI of the shop.
        table: its name.
        columns: which columns; all by default. Maps come as lists of (name, value) pairs, times as UTC.
        verify: hash all of the shop's files first; a table that is missing or torn is found either way.

    Raises:
        NotFoundError, IntegrityError: see `open_shop`.
        DataError: the shop has no such table, or the table no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = open_shop(shop, verify=verify)
    files = _table_files(manifest, shop, table)
    wanted = _check_columns(table, columns)
    folder, schema = _folder(shop), TABLES[table].arrow_schema
    try:
        # With the schema, a column that is newer than the shop reads as missing values.
        parts = [pq.read_table(folder / name, columns=wanted, schema=schema) for name in files]
        return pa.concat_tables(parts).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{shop}: the table {table} cannot be read: {error}", remedy="restore the shop") from error


def _folder(shop: str) -> Path:
    return storage.local_path(shop) if storage.is_local(shop) else storage.fetch(shop, SHOP_MANIFEST)


def _read_manifest(shop: str) -> dict[str, Any]:
    manifest = storage.read_json(storage.join(shop, SHOP_MANIFEST))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise IntegrityError(f"{shop}: {SHOP_MANIFEST} lists no files", remedy="prepare the shop again")
    return manifest


def _table_files(manifest: dict[str, Any], shop: str, table: str) -> list[str]:
    files = sorted(name for name in manifest["files"] if name.startswith(f"{table}/") and name.endswith(".parquet"))
    if not files:
        present = sorted({name.partition("/")[0] for name in manifest["files"] if name.endswith(".parquet")})
        raise DataError(
            f"{shop} has no table {table!r}", allowed=", ".join(present), remedy="map it and prepare the shop again"
        )
    return files


def _check_columns(table: str, columns: list[str] | None) -> list[str]:
    known = [column.name for column in TABLES[table].columns]
    for name in columns or ():
        if name not in known:
            raise DataError(f"{table} has no column {name!r}", allowed=", ".join(known), remedy="ask for another")
    return columns or known
