"""Reading the tables of a prepared shop."""

import pyarrow as pa
import pyarrow.parquet as pq

from planogram import storage
from planogram.data.schema import SHOP_MANIFEST, TABLES
from planogram.data.shop import SHOP_FORMAT, read_table


def test_a_column_that_is_newer_than_the_shop_reads_as_missing(tmp_path):
    newer = TABLES["judgments"].arrow_schema
    older = newer.remove(newer.get_field_index("grade_variance"))
    shop = str(tmp_path / "shop")
    with storage.sealed_folder(shop, SHOP_MANIFEST) as (folder, payload):
        (folder / "judgments").mkdir()
        rows = [{"query": "shoe", "product_id": "a", "grade": 3.0}]
        pq.write_table(pa.Table.from_pylist(rows, schema=older), folder / "judgments" / "part-00000.parquet")
        payload.update(format=SHOP_FORMAT, name="small", data_digest="0" * 64, tables={})
    judgments = read_table(shop, "judgments")
    assert list(judgments) == newer.names
    assert judgments["grade"].tolist() == [3.0]
    assert judgments["grade_variance"].isna().all()
