"""Duplicates: exact ones are counted, conflicts are quarantined or superseded, and order decides, not chance."""

import numpy as np
import pyarrow as pa
import pytest

from planogram.data.buckets import decide, num_buckets
from planogram.data.hashing import hash_rows

SOURCE = {"files": "*.csv", "fields": {"product_id": "id", "title": "name"}}
TEXT = "id,name\n1,a\n2,x\n1,a\n1,b\n3,z\n1,a\n2,y\n"


def fates(keys, contents, keep):
    zeros = np.zeros(len(keys), dtype=np.uint64)
    return decide(np.array(keys, dtype=np.uint64), zeros, np.array(contents, dtype=np.uint64), keep).tolist()


def test_decide():
    kept, duplicate, superseded, conflict = range(4)
    assert fates([7, 8, 7, 7], [1, 1, 1, 2], "quarantine") == [kept, kept, duplicate, conflict]
    assert fates([7, 8, 7, 7], [1, 1, 1, 2], "first") == [kept, kept, duplicate, superseded]
    assert fates([7, 8, 7, 7], [2, 1, 1, 2], "last") == [duplicate, kept, superseded, kept]
    assert fates([], [], "last") == []


def test_both_hashes_of_a_key_count():
    hi, lo = np.array([5, 5], dtype=np.uint64), np.array([1, 2], dtype=np.uint64)
    assert decide(hi, lo, hi, "first").tolist() == [0, 0]


@pytest.mark.parametrize("buckets", [1, 2, 5])
def test_conflicts_are_quarantined(source_folder, import_table, buckets):
    (source_folder / "a.csv").write_text(TEXT)
    result = import_table("products", SOURCE, buckets=buckets)
    assert sorted(zip(result.rows["product_id"], result.rows["title"], strict=True)) == [
        ("1", "a"),
        ("2", "x"),
        ("3", "z"),
    ]
    assert (result.tally.duplicates, result.tally.superseded) == (2, 0)
    assert sorted((q["line"], q["record"]["title"]) for q in result.quarantine) == [(5, "b"), (8, "y")]
    assert {q["reason"] for q in result.quarantine} == {"the key of another row, with different content"}


@pytest.mark.parametrize(("keep", "titles"), [("first", ["a", "x", "z"]), ("last", ["a", "y", "z"])])
def test_superseded_rows_count_as_duplicates(source_folder, import_table, keep, titles):
    (source_folder / "a.csv").write_text(TEXT)
    result = import_table("products", SOURCE, keep=keep)
    assert result.rows.sort_values("product_id")["title"].tolist() == titles
    assert (result.tally.duplicates, result.tally.superseded, result.tally.quarantined) == (4, 2, 0)


def test_files_are_in_the_order_of_their_names(source_folder, import_table):
    (source_folder / "b.csv").write_text("id,name\n1,late\n")
    (source_folder / "a.csv").write_text("id,name\n1,early\n")
    assert import_table("products", SOURCE, keep="last").rows["title"].tolist() == ["late"]


def test_a_table_without_a_key_counts_equal_rows_once(source_folder, import_table):
    (source_folder / "a.csv").write_text("q,p,g\nlamp,1,2\nlamp,1,2.0\nlamp,1,3\n")
    fields = {"query": "q", "product_id": "p", "grade": "g"}
    result = import_table("judgments", {"files": "*.csv", "fields": fields})
    assert (result.tally.kept, result.tally.duplicates) == (2, 1)


def test_hashes_do_not_depend_on_the_representation():
    plain = hash_rows([pa.array(["a", None, ""]), pa.array([0.0, None, -0.0])])
    sliced = hash_rows([pa.array(["x", "a", None, ""]).slice(1), pa.array([9.0, 0.0, None, -0.0]).slice(1)])
    assert plain.tolist() == sliced.tolist()
    assert len(set(plain.tolist())) == 3
    assert plain.tolist() == [int(h) for h in (plain[0], plain[1], plain[2])]
    assert hash_rows([pa.array(["a"])], 0) != hash_rows([pa.array(["a"])], 1)
    assert (
        hash_rows([pa.array(["a", "b"]), pa.array(["b", "a"])]).tolist()[0]
        != hash_rows([pa.array(["b"]), pa.array(["a"])])[0]
    )


def test_hashes_stay_the_same_between_versions():
    assert hash_rows([pa.array(["a", "ü"]), pa.array([1.5, None])]).tolist() == [
        373308783802712571,
        10452199585066150699,
    ]


def test_num_buckets():
    assert (num_buckets(0), num_buckets(1), num_buckets(1 << 30), num_buckets(1 << 50)) == (1, 1, 8, 512)
