"""Lists: made from text, from JSON and from Parquet; their rules; and the tables of histories and sessions."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.data.derive import TEXT, slice_lists
from planogram.data.hashing import hash_rows
from planogram.data.measure import measure, product_hashes
from planogram.data.tally import Tally

FIELDS = {"history_id": "_line", "product_id": "next", "history": {"column": "items", "split": " "}}
HISTORIES = {"files": "*.csv", "fields": FIELDS}


def write(folder, text, name="a.csv"):
    (folder / name).write_text(text)


def histories(folder, import_table, items, **field):
    write(folder, "next,items\n" + "".join(f'n,"{text}"\n' for text in items))
    source = {**HISTORIES, "fields": {**FIELDS, "history": {"column": "items", "split": " ", **field}}}
    return import_table("histories", source, buckets=1)


def lists(result):
    return [list(value) for value in result.rows["history"]]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ({}, "a b c", ["a", "b", "c"]),
        ({}, "a", ["a"]),
        ({"split": ","}, "a , b", ["a", "b"]),
        ({"split": r"\s*[,;]\s*"}, "a , b;c", ["a", "b", "c"]),
        ({"replace": {r"[\[\]']": ""}, "split": ", "}, "['a', 'b']", ["a", "b"]),
        ({"default": ""}, "", []),
        ({"replace": {r"[\[\]]": ""}, "default": ""}, "[]", []),
        ({"slice": [0, -1]}, "a b c", ["a", "b"]),
        ({"slice": [1, None]}, "a b c", ["b", "c"]),
        ({"slice": [0, -1]}, "a", []),
        ({"slice": [-2, None]}, "a b c", ["b", "c"]),
    ],
)
def test_lists_from_text(source_folder, import_table, field, text, expected):
    assert lists(histories(source_folder, import_table, [text], **field)) == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "history: required, but missing"),
        ("a  b", "history: an empty element between two ' '"),
    ],
)
def test_broken_lists_are_quarantined(source_folder, import_table, text, reason):
    result = histories(source_folder, import_table, ["a b", text])
    assert lists(result) == [["a", "b"]]
    assert [(row["line"], row["reason"]) for row in result.quarantine] == [(3, reason)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", " b "], ["a", "b"]),
        ([1, 2.50], ["1", "2.5"]),
        ([], []),
        (None, None),
        ({"a": 1}, None),
        (["a", None], None),
        (["a", ""], None),
        ([["a"]], None),
        ([True], None),
        ("a b", None),
    ],
)
def test_lists_from_json(source_folder, import_table, value, expected):
    rows = [{"next": "n", "items": ["x"]}, {"next": "n", "items": value}]
    write(source_folder, "\n".join(map(json.dumps, rows)), "a.jsonl")
    source = {"files": "*.jsonl", "format": "jsonl", "fields": {**FIELDS, "history": "items"}}
    result = import_table("histories", source, buckets=1)
    assert lists(result) == [["x"], *([] if expected is None else [expected])]
    if expected is None and value is not None:
        [broken] = result.quarantine
        assert broken["reason"] == "history: not a JSON array of texts or numbers, none of them empty"


def test_lists_from_parquet_and_back(source_folder, import_table, tmp_path):
    items = pa.array([["a", "b"], [], None], pa.list_(pa.string()))
    pq.write_table(pa.table({"next": ["n"] * 3, "items": items, "numbers": [[1, 0], [], None]}), source_folder / "a")
    fields = {**FIELDS, "history": "items", "history_labels": "numbers"}
    result = import_table("histories", {"files": "a", "format": "parquet", "fields": fields}, buckets=1)
    assert lists(result) == [["a", "b"], []]
    assert [list(labels) for labels in result.rows["history_labels"]] == [["1", "0"], []]
    assert [row["reason"] for row in result.quarantine] == ["history: required, but missing"]
    assert pq.read_schema(tmp_path / "0.parquet").field("history").type.value_type == pa.string()


def test_no_rows(source_folder, import_table):
    write(source_folder, "line\na b c\n")
    fields = {
        "history_id": "line",
        "product_id": {"column": "line", "split": " ", "item": -1},
        "history": {"column": "line", "split": " ", "slice": [1, -1]},
        "history_labels": {"column": "line", "split": " ", "slice": [1, -1]},
    }
    tally = import_table("histories", {"files": "*.csv", "where": {"line": "x"}, "fields": fields}).tally
    assert (tally.read, tally.kept, tally.not_selected) == (0, 0, 1)


def test_an_item_of_a_list(source_folder, import_table):
    write(source_folder, "line\nu1 a b c\nu2 a\n u3  \n")
    fields = {
        "history_id": {"column": "line", "split": " ", "item": 0, "map": {"u1": "one"}, "default": "other"},
        "product_id": {"column": "line", "split": " ", "item": -1},
        "history": {"column": "line", "split": " ", "slice": [1, -1]},
        "user_id": {"column": "line", "split": " ", "item": 2},
    }
    result = import_table("histories", {"files": "*.csv", "fields": fields}, keep="last", buckets=1)
    rows = result.rows.fillna({"user_id": ""})
    assert rows[["history_id", "product_id", "user_id"]].to_numpy().tolist() == [["one", "c", "b"], ["other", "u3", ""]]
    assert lists(result) == [["a", "b"], []]


texts = st.lists(st.one_of(st.none(), st.lists(st.text("abc", min_size=1))), min_size=1)
places = st.one_of(st.none(), st.integers(-5, 5))


@given(texts, places, places)
def test_slices_are_those_of_python(values, first, end):
    array = pa.array(values, pa.list_(TEXT))
    expected = [None if value is None else value[first:end] for value in values]
    assert slice_lists(array, first, end).to_pylist() == expected


def test_lists_of_other_content_have_other_hashes():
    values = [None, [], ["a"], ["a", "b"], ["b", "a"], ["ab"], ['a", "b']]
    hashes = hash_rows([pa.array(values, pa.list_(pa.string()))])
    assert len(set(hashes.tolist())) == len(values)


def test_equal_lists_are_duplicates_and_others_conflict(source_folder, import_table):
    write(source_folder, "id,next,items\n1,n,a b\n1,n,a b\n1,n,b a\n")
    source = {"files": "*.csv", "fields": {**FIELDS, "history_id": "id"}}
    result = import_table("histories", source)
    assert (result.tally.kept, result.tally.duplicates, result.tally.quarantined) == (1, 1, 1)
    assert result.quarantine[0]["record"]["history"] == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "label", "reason"),
    [
        ("1 0", "1", None),
        ("", "0.5", None),
        ("1", "", "history_labels: not as long as history"),
        ("1 0 1", "", "history_labels: not as long as history"),
        ("1 yes", "", "history_labels: not one of 0, 1"),
        ("1 0", "2", "label: above 1"),
    ],
)
def test_labels_of_histories(source_folder, import_table, labels, label, reason):
    write(source_folder, f"next,items,labels,label\nn,a b,{labels},{label}\n")
    fields = {**FIELDS, "history_labels": {"column": "labels", "split": " "}, "label": "label"}
    result = import_table("histories", {"files": "*.csv", "fields": fields})
    assert [row["reason"] for row in result.quarantine] == ([reason] if reason else [])


@pytest.mark.parametrize(("known", "unknown", "examples"), [("abxyz", 0, []), ("ab", 2, ["x", "y", "z"])])
def test_histories_that_name_unknown_products_are_counted(known, unknown, examples):
    batch = pa.record_batch({"product_id": ["a", "b", "x"], "history": [["a", "y"], [], ["z"]]})
    tally, hashes = Tally(), product_hashes(pa.array(list(known)))
    hashes.sort()
    measure(batch, tally, hashes)
    assert (tally.unknown_products, tally.unknown_examples) == (unknown, examples)


def test_sessions(source_folder, import_table):
    write(source_folder, "bought,pages,month\nTRUE,3,\nFALSE,3,May\nFALSE,3,May\nmaybe,1,May\n")
    fields = {
        "session_id": "_line",
        "purchased": {"column": "bought", "map": {"TRUE": "1", "FALSE": "0"}},
        "features": {"entries": {"pages": "pages", "month": "month"}},
    }
    result = import_table("sessions", {"files": "*.csv", "fields": fields}, buckets=1)
    assert result.rows["session_id"].tolist() == ["2", "3", "4"]
    assert result.rows["purchased"].tolist() == [1, 0, 0]
    assert result.rows["features"].tolist()[:2] == [[("pages", "3")], [("pages", "3"), ("month", "May")]]
    assert len(result.quarantine) == 1
