"""From files to typed rows in this process: derivations, types, rules, and what becomes of a broken row."""

import gzip
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planogram import section
from planogram.data.mapping import FilesConfig
from planogram.data.plan import find_files
from planogram.errors import DataError

PRODUCTS = {"files": "*.csv", "fields": {"product_id": "id", "title": "name", "price": "price", "stock": "stock"}}
HEADER = "id,name,price,stock\n"
EVENTS = {
    "files": "*.csv",
    "fields": {
        "event_id": {"template": "{_file}:{_line}"},
        "timestamp": "time",
        "event_type": "kind",
        "product_id": {"constant": "p"},
        "quantity": "quantity",
        "rating": "rating",
    },
}


def write(folder, text, name="a.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def test_types_and_missing_values(source_folder, import_table):
    write(source_folder, HEADER + " p1 , Lamp ,9.5,3.0\np2,Rug,,\np3,Bed, NULL ,1e2\n")
    rows = import_table("products", {**PRODUCTS, "missing": ["NULL"]}, buckets=1).rows
    assert rows["product_id"].tolist() == ["p1", "p2", "p3"]
    assert rows["title"].tolist() == ["Lamp", "Rug", "Bed"]
    assert rows["price"].fillna(-1).tolist() == [9.5, -1, -1]
    assert rows["stock"].fillna(-1).tolist() == [3, -1, 100]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Lamp,1,1", "product_id: required, but missing"),
        ("p,  ,1,1", "title: required, but missing"),
        ("p,Lamp,-1,1", "price: below 0"),
        ("p,Lamp,abc,1", "price: not a number"),
        ("p,Lamp,nan,1", "price: not a number"),
        ("p,Lamp,inf,1", "price: not a number"),
        ("p,Lamp,1e999,1", "price: not a number"),
        ("p,Lamp,1,1.5", "stock: not a whole number"),
        ("p,Lamp,1,1e30", "stock: not a whole number"),
        (",Lamp,-1,1", "product_id: required, but missing; price: below 0"),
        ("p,Lamp,1", "3 fields where the header has 4"),
    ],
)
def test_a_broken_row_tells_file_line_reason_and_record(source_folder, import_table, row, reason):
    write(source_folder, f"{HEADER}ok,Lamp,1,1\n{row}\n")
    result = import_table("products", PRODUCTS)
    [broken] = result.quarantine
    assert (broken["file"], broken["line"], broken["reason"]) == ("a.csv", 3, reason)
    assert result.tally.reasons == {reason: 1}
    if "fields" in reason:
        assert broken["record"] == {"text": row + "\n"}
    else:
        assert list(broken["record"].values()) == row.split(",")


def test_quantities_and_ratings_of_events(source_folder, import_table):
    rows = [
        "purchase,2,",
        "purchase,-2,",
        "purchase,0,",
        "cancellation,-1,",
        "cancellation,1,",
        "click,,",
        "rating,,",
        "rating,,5",
        "buy,1,",
    ]
    text = "".join(f"2020-01-01,{row}\n" for row in rows)
    write(source_folder, f"time,kind,quantity,rating\n{text}")
    result = import_table("interactions", EVENTS, buckets=1)
    assert result.rows["event_id"].tolist() == [f"a.csv:{line}" for line in (2, 5, 7, 9)]
    assert [(q["line"], q["reason"].partition(":")[0]) for q in result.quarantine] == [
        (3, "quantity"), (4, "quantity"), (6, "quantity"), (8, "rating"), (10, "event_type"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, "2020-07-01T10:00:00", "2020-07-01 10:00"),
        ({}, "2020-07-01T10:00:00+02:00", "2020-07-01 08:00"),
        ({"timezone": "Europe/London"}, "2020-07-01 10:00", "2020-07-01 09:00"),
        ({"timezone": "Europe/London"}, "2020-07-01T10:00:00Z", "2020-07-01 10:00"),
        ({"timezone": "Europe/London", "format": "%d/%m/%Y %H:%M"}, "01/07/2020 10:00", "2020-07-01 09:00"),
        ({"format": "%d.%m.%Y %H:%M %z"}, "01.07.2020 10:00 +0200", "2020-07-01 08:00"),
        ({"format": "unix_s"}, "1593597600.0", "2020-07-01 10:00"),
        ({"format": "unix_ms"}, "1593597600000", "2020-07-01 10:00"),
        ({}, "2020-02-30", None),
        ({}, "yesterday", None),
        ({"format": "unix_s"}, "1e300", None),
        ({"timezone": "Europe/London"}, "2020-03-29 01:30", None),
        ({"timezone": "Europe/London"}, "2020-10-25 01:30", None),
    ],
)
def test_timestamps(source_folder, import_table, options, text, expected):
    write(source_folder, f"time,kind,quantity,rating\n{text},click,,\n2020-01-01,cart,,\n")
    source = {**EVENTS, "fields": {**EVENTS["fields"], "timestamp": {"column": "time", **options}}}
    result = import_table("interactions", source)
    times = result.rows.loc[result.rows["event_type"] == "click", "timestamp"].tolist() if len(result.rows) else []
    assert times == ([pd.Timestamp(expected, tz="UTC")] if expected else [])


def test_derivations(source_folder, import_table):
    write(source_folder, 'sku,kind,size,"Own Brand"\n0017.0,a,5,yes\n0018,b,,no\n0019,zz,7,maybe\n')
    fields = {
        "product_id": {"column": "sku", "replace": {r"\.0$": "", "^0+": ""}},
        "title": {"template": "{kind} {size}", "default": "thing"},
        "brand": {"column": "Own Brand", "map": {"yes": "own", "no": "other"}, "default": "unknown"},
        "category": {"column": "kind", "match": {"^a": "alpha", "[ab]": "beta", "": "rest"}},
        "price": {"column": "size", "scale": 0.5, "offset": 1.0},
        "attributes": {"entries": {"size": "size", "kind": "kind"}},
        "description": {"hash": ["sku", "size"]},
    }
    rows = import_table("products", {"files": "*.csv", "fields": fields}, buckets=1).rows
    assert rows["product_id"].tolist() == ["17", "18", "19"]
    assert rows["title"].tolist() == ["a 5", "thing", "zz 7"]
    assert rows["brand"].tolist() == ["own", "other", "unknown"]
    assert rows["category"].tolist() == ["alpha", "beta", "rest"]
    assert rows["price"].fillna(0).tolist() == [3.5, 0, 4.5]
    assert rows["attributes"].tolist() == [
        [("size", "5"), ("kind", "a")],
        [("kind", "b")],
        [("size", "7"), ("kind", "zz")],
    ]
    assert len(set(rows["description"])) == 3
    assert all(len(digest) == 32 for digest in rows["description"])


def test_unknown_values_of_a_map_are_quarantined(source_folder, import_table):
    write(source_folder, "id,name\n1,a\n2,b\n")
    fields = {"product_id": "id", "title": {"column": "name", "map": {"a": "Lamp"}}}
    [broken] = import_table("products", {"files": "*.csv", "fields": fields}).quarantine
    assert broken["reason"] == "title: a value that the mapping does not know"


def test_where_leaves_rows_out(source_folder, import_table):
    write(source_folder, HEADER + "1,Lamp,1,1\n2,Rug,1,1\n3,Lamp,x,1\n")
    result = import_table("products", {**PRODUCTS, "where": {"name": "Lamp", "id": {"matches": "[13]"}}})
    assert (result.tally.read, result.tally.kept, result.tally.not_selected) == (2, 1, 1)


def test_joins(source_folder, import_table):
    write(source_folder, HEADER + "1,Lamp,1,1\n2,Rug,1,1\n")
    write(source_folder, '{"key": 1, "maker": "Acme"}\n{"key": 1, "maker": "Other"}\n', "brands.jsonl")
    join = {"files": "brands.jsonl", "format": "jsonl", "key": {"id": "key"}}
    source = {**PRODUCTS, "joins": {"brands": join}, "fields": {**PRODUCTS["fields"], "brand": "brands.maker"}}
    rows = import_table("products", source, buckets=1).rows
    assert rows["brand"].fillna("").tolist() == ["Acme", ""]


def test_json_lines(source_folder, import_table):
    good = {
        "id": 1,
        "name": "Lamp\u2028x",
        "price": 1.10,
        "stock": None,
        "deep": {"brand": "Acme"},
        "tags": {"a": 1, "b": None},
    }
    lines = [
        json.dumps(good, ensure_ascii=False),
        "",
        '{"id": 2, "name": "Rug',
        "[1]",
        '{"id": "3"}',
        '{"id": 4, "name": "\\ud800"}',
        '{"id": 5, "name": "\\u0000"}',
        "[" * 100_000,
    ]
    write(source_folder, "\n".join(lines), "a.jsonl")
    fields = {**PRODUCTS["fields"], "brand": "deep.brand", "attributes": "tags"}
    result = import_table("products", {"files": "*.jsonl", "format": "jsonl", "fields": fields})
    assert result.rows[["product_id", "title", "price", "brand"]].to_numpy().tolist() == [
        ["1", "Lamp\u2028x", 1.1, "Acme"]
    ]
    assert result.rows["attributes"].tolist() == [[("a", "1")]]
    assert sorted(q["line"] for q in result.quarantine) == [3, 4, 5, 6, 7, 8]


def test_parquet(source_folder, import_table):
    table = pa.table(
        {
            "id": pa.array([1, 2, 3]),
            "name": pa.array(["Lamp", None, "Bed"]).dictionary_encode(),
            "price": [1.1, 2.2, float("nan")],
            "stock": pa.array([1, None, 3], pa.int8()),
            "tags": pa.array([[("a", "x")], [], None], pa.map_(pa.string(), pa.string())),
            "at": pa.array([0, 1, 2], pa.timestamp("ms", tz="Europe/London")),
        }
    )
    pq.write_table(table, source_folder / "a.parquet", row_group_size=1)
    fields = {**PRODUCTS["fields"], "attributes": "tags", "updated_at": "at"}
    result = import_table("products", {"files": "*.parquet", "format": "parquet", "fields": fields})
    [row] = result.rows.to_dict("records")
    assert (row["product_id"], row["price"], row["stock"], row["attributes"]) == ("1", 1.1, 1, [("a", "x")])
    assert row["updated_at"] == pd.Timestamp(0, tz="UTC")
    assert sorted((q["line"], q["reason"]) for q in result.quarantine) == [
        (2, "title: required, but missing"),
        (3, "price: not a number"),
    ]


def test_damaged_files_keep_the_rows_before_the_damage(source_folder, import_table):
    rows = "".join(f"{i},Lamp {i},1,1\n" for i in range(5000))
    write(source_folder, gzip.compress((HEADER + rows).encode())[:-2000], "a.csv.gz")
    result = import_table("products", {**PRODUCTS, "files": "*.csv.gz"})
    [place] = result.tally.damage
    kept = result.tally.kept
    assert 1000 < kept < 5000
    assert place.startswith(f"a.csv.gz, line {kept + 2}: damaged file: the gzip file ends early")
    assert sorted(result.rows["product_id"].astype(int)) == list(range(kept))


@pytest.mark.parametrize("content", [b"PAR1garbage", b"", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_parquet_garbage(source_folder, import_table, content):
    write(source_folder, content, "a.parquet")
    result = import_table("products", {**PRODUCTS, "files": "*.parquet", "format": "parquet"})
    assert (result.tally.read, result.tally.quarantined, len(result.tally.damage)) == (1, 1, 1)


@pytest.mark.parametrize(("content", "records"), [("", 0), (HEADER, 0), ("\n\n", 0)])
def test_empty_files(source_folder, import_table, content, records):
    write(source_folder, content)
    tally = import_table("products", PRODUCTS).tally
    assert tally.files == {"a.csv": records}
    assert not tally.fatal


def test_a_missing_column_names_those_that_are_there(source_folder, import_table):
    write(source_folder, "id,price,stock\n1,1,1\n")
    [reason] = import_table("products", PRODUCTS).tally.fatal
    assert reason == "a.csv has no column 'name' (for title); columns found: 'id', 'price', 'stock'"


def test_a_missing_optional_column_is_null(source_folder, import_table):
    write(source_folder, "id,name,price\n1,Lamp,1\n")
    assert import_table("products", PRODUCTS).rows["stock"].isna().all()


def test_an_unreadable_header(source_folder, import_table):
    write(source_folder, b"id,name\xff\n1,Lamp\n")
    [reason] = import_table("products", PRODUCTS).tally.fatal
    assert "no readable header: line 1: bytes that are not valid utf-8" in reason


def test_folders_may_have_names_that_look_like_globs(tmp_path):
    folder = tmp_path / "shop [1]*"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER)
    files = section.parse(FilesConfig, {"files": ["a*", "*.csv"]}, "test")
    assert [file.shown for file in find_files(files, str(folder))] == ["a.csv"]


def test_files_that_are_not_there(source_folder, import_table):
    write(source_folder, HEADER, "b.txt")
    with pytest.raises(DataError, match=r"no file in .* matches '\*.csv'\nallowed: the folder holds b.txt"):
        import_table("products", PRODUCTS)
    with pytest.raises(DataError, match="leads out of the folder"):
        import_table("products", {**PRODUCTS, "files": "../*.csv"})
