import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planogram import storage
from planogram.data.schema import SHOP_MANIFEST, TABLES
from planogram.serve.index.build import index_folder
from planogram.serve.index.search import ProductIndex


def _write_shop(folder, rows, **tables):
    """A prepared shop of products in two files, and of other tables."""
    with storage.sealed_folder(str(folder), SHOP_MANIFEST) as (aside, payload):
        half = len(rows) // 2
        _write(aside / "products", rows[:half], rows[half:])
        for name, others in tables.items():
            _write(aside / name, others)
        payload.update(name="test", format=1)
    return str(folder)


def _write(folder, *parts):
    folder.mkdir()
    for number, rows in enumerate(parts):
        table = pa.Table.from_pylist(rows, schema=TABLES[folder.name].arrow_schema)
        pq.write_table(table, folder / f"{number}.parquet")


def _open_index(shop, args, encoder=None):
    return ProductIndex(index_folder(shop, args, encoder), args, encoder)


@pytest.fixture(scope="session")
def write_shop():
    return _write_shop


@pytest.fixture(scope="session")
def open_index():
    return _open_index
