"""JSON documents: an array of objects, or an object whose keys name the rows."""

import pytest

from planogram.data import records

PRODUCTS = {"files": "*.json", "format": "json", "fields": {"product_id": "_key", "title": "title"}}


def titles(result):
    return dict(zip(result.rows["product_id"], result.rows["title"], strict=True))


def test_an_object_of_objects(source_folder, import_table):
    (source_folder / "a.json").write_text('\ufeff{\n "1": {"title": "Lamp"},\n "2": {"title": "Rug", "x": {"y": 1}}\n}')
    fields = {**PRODUCTS["fields"], "brand": "x.y"}
    result = import_table("products", {**PRODUCTS, "fields": fields}, buckets=1)
    assert titles(result) == {"1": "Lamp", "2": "Rug"}
    assert result.rows["brand"].fillna("").tolist() == ["", "1"]


def test_an_object_of_other_values(source_folder, import_table):
    (source_folder / "a.json").write_text('{"1": [3, 1.50], "2": "Rug", "3": null}')
    fields = {"product_id": "_key", "title": "_value"}
    result = import_table("products", {**PRODUCTS, "fields": fields}, buckets=1)
    assert titles(result) == {"1": '["3", "1.50"]', "2": "Rug"}
    assert [(row["line"], row["reason"]) for row in result.quarantine] == [(3, "title: required, but missing")]


def test_an_array_of_objects(source_folder, import_table):
    (source_folder / "a.json").write_text('[{"id": 1, "title": "Lamp"}, 7, {"id": 2, "title": "\\ud800"}]')
    fields = {"product_id": "id", "title": "title"}
    result = import_table("products", {**PRODUCTS, "fields": fields}, buckets=1)
    assert titles(result) == {"1": "Lamp"}
    assert [(row["line"], row["reason"]) for row in result.quarantine] == [
        (2, "a JSON str where an object is expected"),
        (3, "half of a surrogate pair in JSON text"),
    ]


def test_a_repeated_key_is_not_lost(source_folder, import_table):
    (source_folder / "a.json").write_text('{"1": {"title": "Lamp"}, "1": {"title": "Rug"}}')
    result = import_table("products", PRODUCTS)
    assert titles(result) == {"1": "Lamp"}
    assert (result.tally.read, result.tally.quarantined) == (2, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"1": {"title": "Lamp"}', "not a JSON document: "),
        (b"", "not a JSON document: "),
        (b'"text"', "not a JSON document: a JSON str where an array or an object is expected"),
        (b'{"1": "\xff"}', "not a JSON document: 'utf-8' codec can't decode"),
        (b"[" * 100_000, "not a JSON document: maximum recursion depth exceeded"),
        (b"\x1f\x8b\x08\x00garbage", "damaged file: "),
    ],
)
def test_a_document_that_cannot_be_read_is_one_quarantined_row(source_folder, import_table, content, reason):
    (source_folder / "a.json").write_bytes(content)
    result = import_table("products", PRODUCTS)
    [row] = result.quarantine
    assert row["reason"].startswith(reason)
    assert len(result.tally.damage) == 1


def test_a_document_too_large_for_memory(source_folder, import_table, monkeypatch):
    monkeypatch.setattr(records, "MAX_DOCUMENT_BYTES", 10)
    (source_folder / "a.json").write_text('{"1": {"title": "Lamp"}}')
    [row] = import_table("products", PRODUCTS).quarantine
    assert row["reason"] == "not a JSON document: more than 10 bytes; larger data is read as JSON lines"
