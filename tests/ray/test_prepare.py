"""The import on a Ray cluster: real data, broken files, and shops that can be trusted."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from planogram import storage
from planogram.data.report import Report
from planogram.data.sources import open_shop, prepare, read_table
from planogram.errors import ClusterError, DataError, IntegrityError, NotFoundError, PlanogramError, StorageError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

MAPPINGS = Path(__file__).parents[2] / "jobs" / "configs" / "sources"
PRODUCTS = {"files": "products*", "fields": {"product_id": "id", "title": "name", "price": "price"}}
JUDGMENTS = {"files": "judged*", "fields": {"query": "query", "product_id": "id", "grade": "grade"}}
GOOD = "id,name,price\n1,Lamp,9.5\n2,Rug,20\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def run(folder: Path, *, out: str = "shop", overwrite: bool = False, **tables: dict) -> Report:
    mapping = folder.parent / "mapping.yaml"
    values = {name: {"sources": [source]} for name, source in tables.items()}
    mapping.write_text(yaml.safe_dump({"name": "test", "currency": "EUR", "tables": values}))
    report = prepare(str(mapping), str(folder), str(folder.parent / out), overwrite=overwrite)
    assert all(table.identity_holds for table in report.tables)
    return report


def quarantine(folder: Path, table: str = "products", shop: str = "shop") -> list[dict]:
    path = folder.parent / shop / "quarantine" / f"{table}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_shop(folder):
    (folder / "products.csv").write_text(GOOD + "2,Rug,20\n3,Bed,-1\n")
    (folder / "judged.jsonl").write_text(
        '{"query": "lamp", "id": 1, "grade": 3}\n{"query": "lamp", "id": 9, "grade": 0}\n'
    )
    report = run(folder, products=PRODUCTS, judgments={**JUDGMENTS, "format": "jsonl"})
    shop = str(folder.parent / "shop")
    assert [(t.table, t.read, t.kept, t.quarantined, t.duplicates) for t in report.tables] == [
        ("products", 4, 2, 1, 1),
        ("judgments", 2, 2, 0, 0),
    ]
    manifest = open_shop(shop)
    assert (manifest["name"], manifest["currency"], manifest["locale"]) == ("test", "EUR", None)
    assert manifest["tables"]["products"]["rows"] == 2
    assert manifest["data_digest"] == report.data_digest
    assert read_table(shop, "products", ["product_id", "price"]).to_numpy().tolist() == [["1", 9.5], ["2", 20.0]]
    [broken] = quarantine(folder)
    assert broken == {
        "file": "products.csv",
        "line": 5,
        "reason": "price: below 0",
        "record": {"id": "3", "name": "Bed", "price": "-1"},
    }
    [unknown] = [c for c in report.checks if (c.table, c.name) == ("judgments", "products")]
    assert (unknown.status, unknown.figures["unknown"]) == ("WARN", 1)
    saved = storage.read_json(f"{shop}/report.json")
    assert saved["status"] == "FAIL"  # a quarter of the products is in quarantine
    assert "<html" in (folder.parent / "shop" / "report.html").read_text()
    assert not list(folder.parent.glob("**/.work"))


def test_the_same_input_gives_the_same_shop(folder):
    rows = [f"{i % 700},Lamp {i % 350},{i % 9}\n" for i in range(2000)]
    (folder / "products.csv").write_text("id,name,price\n" + "".join(rows))
    first = run(folder, products=PRODUCTS, out="a")
    second = run(folder, products=PRODUCTS, out="b")
    (folder / "products.csv").unlink()
    (folder / "products.csv.gz").write_bytes(gzip.compress(("id,name,price\n" + "".join(rows)).encode()))
    third = run(folder, products=PRODUCTS, out="c")
    assert first.data_digest == second.data_digest == third.data_digest
    a, b = (storage.read_json(str(folder.parent / name / "shop.json"))["files"] for name in "ab")
    assert {n: f for n, f in a.items() if "report" not in n} == {n: f for n, f in b.items() if "report" not in n}


def test_overwriting(folder):
    (folder / "products.csv").write_text(GOOD)
    run(folder, products=PRODUCTS)
    with pytest.raises(StorageError, match="already there"):
        run(folder, products=PRODUCTS)
    (folder / "products.csv").write_text("id,price\n1,1\n")
    with pytest.raises(DataError):
        run(folder, products=PRODUCTS, overwrite=True)
    assert len(read_table(str(folder.parent / "shop"), "products")) == 2
    (folder / "products.csv").write_text(GOOD + "3,Bed,1\n")
    run(folder, products=PRODUCTS, overwrite=True)
    assert len(read_table(str(folder.parent / "shop"), "products")) == 3
    assert sorted(path.name for path in folder.parent.iterdir()) == ["in", "mapping.yaml", "shop"]
    (folder.parent / "notes").mkdir()
    with pytest.raises(StorageError, match="is no shop"):
        run(folder, products=PRODUCTS, out="notes", overwrite=True)


def test_a_damaged_shop_is_refused(folder):
    (folder / "products.csv").write_text(GOOD)
    run(folder, products=PRODUCTS)
    shop = folder.parent / "shop"
    [part] = (shop / "products").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match="part-0"):
        open_shop(str(shop))
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_table(str(shop), "products")
    with pytest.raises(DataError, match=r"no table 'pairs'\nallowed: products"):
        read_table(str(shop), "pairs")
    with pytest.raises(DataError, match="no column 'colour'"):
        read_table(str(shop), "products", ["colour"])
    with pytest.raises(NotFoundError):
        open_shop(str(shop / "nowhere"))


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


MANY = (GOOD + "".join(f"x{i},Lamp {i},1\n" for i in range(3000))).encode()
BROKEN_FILES = {
    "truncated gzip": ("products-2.csv.gz", gzip.compress(MANY)[:-3000], "ends early"),
    "not a gzip": ("products-2.csv.gz", MANY, "named like a gzip file"),
    "corrupt zip": ("products-2.zip", zip_of("a.csv", MANY)[:-20], "not a readable zip"),
    "zip bomb": ("products-2.zip", zip_of("a.csv", bytes(70 << 20)), "compression bomb"),
    "traversal in tar": ("products-2.tgz", tar_of("../a.csv", MANY), "leads out of the archive"),
    "truncated tar": ("products-2.tgz", tar_of("a.csv", MANY)[:-3000], "ends early"),
}


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_a_damaged_file_fails_a_check_and_keeps_what_was_read(folder, kind):
    name, content, reason = BROKEN_FILES[kind]
    (folder / "products-1.csv").write_text(GOOD)
    (folder / name).write_bytes(content)
    report = run(folder, products=PRODUCTS)
    [check] = [c for c in report.checks if c.name == "files"]
    assert (report.status, check.status) == ("FAIL", "FAIL")
    assert name in check.sentence
    assert reason in check.sentence
    [row] = [q for q in quarantine(folder) if reason in q["reason"]]
    assert row["file"].startswith(name)
    assert set(read_table(str(folder.parent / "shop"), "products")["product_id"]) >= {"1", "2"}


BROKEN_ROWS = {
    "wrong encoding": (b"3,B\xe9d,1\n", "not valid utf-8"),
    "50 MB line": (b"3," + b"x" * (50 << 20) + b",1\n", "longer than"),
    "unclosed quote": (b'3,"Bed,1\n', "quote"),
    "NUL bytes": (b"3,B\0d,1\n", "NUL"),
    "ragged": (b"3,Bed\n", "2 fields where the header has 3"),
    "negative price": (b"3,Bed,-5\n", "price: below 0"),
    "duplicate id": (b"2,Bed,5\n", "the key of another row"),
}


@pytest.mark.parametrize("kind", BROKEN_ROWS)
def test_a_broken_row_is_quarantined_and_costs_no_other(folder, kind):
    row, reason = BROKEN_ROWS[kind]
    (folder / "products.csv").write_bytes(GOOD.encode() + row + b"4,Sofa,300\n")
    report = run(folder, products=PRODUCTS)
    assert [(t.read, t.kept, t.quarantined) for t in report.tables] == [(4, 3, 1)]
    [broken] = quarantine(folder)
    assert (broken["file"], broken["line"]) == ("products.csv", 4)
    assert reason in broken["reason"]
    assert read_table(str(folder.parent / "shop"), "products")["product_id"].tolist() == ["1", "2", "4"]


UNUSABLE = {
    "missing column": ("products.csv", b"id,price\n1,1\n", {}, r"no column 'name' \(for title\).*found: 'id', 'price'"),
    "empty file": ("products.csv", b"", {}, "products has no rows"),
    "only a header": ("products.csv", b"id,name,price\n", {}, "products has no rows"),
    "only broken rows": ("products.csv", b"id,name,price\n,x,1\n", {}, "product_id: required, but missing"),
    "no such file": ("other.csv", b"", {}, "no file in"),
    "no such member": ("products.zip", zip_of("a.txt", b"x"), {"member": "*.csv"}, "no member of products.zip"),
    "Parquet garbage": ("products.parquet", b"PAR1" + bytes(100), {"format": "parquet"}, "damaged file"),
    "broken JSON": ("products.jsonl", b'{"id": 1\n', {"format": "jsonl"}, "not valid JSON"),
    "zip garbage": ("products.zip", b"PK\x03\x04garbage", {}, "not a readable zip"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_makes_a_shop_useless_is_an_error_and_no_shop(folder, kind):
    name, content, options, message = UNUSABLE[kind]
    (folder / name).write_bytes(content)
    with pytest.raises(PlanogramError, match=message) as caught:
        run(folder, products={**PRODUCTS, **options})
    assert caught.value.remedy
    assert sorted(path.name for path in folder.parent.iterdir()) == ["in", "mapping.yaml"]


def test_a_failure_outside_the_data_is_told_in_a_sentence(folder, monkeypatch):
    from planogram.data import sources

    (folder / "products.csv").write_text(GOOD)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "_settle", full)
    with pytest.raises(ClusterError, match="No space left on device"):
        run(folder, products=PRODUCTS)


def test_parts_of_a_large_parquet_file(folder):
    frame = pd.DataFrame({"id": range(50_000), "name": "Lamp", "price": 1.5})
    frame.to_parquet(folder / "products.parquet", row_group_size=10_000)
    report = run(folder, products={**PRODUCTS, "format": "parquet"})
    assert report.tables[0].kept == 50_000
    assert read_table(str(folder.parent / "shop"), "products")["product_id"].nunique() == 50_000


def import_public(shared_data: Path, tmp_path: Path, name: str) -> tuple[Report, str]:
    folder = shared_data / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    shop = str(tmp_path / "shop")
    report = prepare(str(MAPPINGS / f"{name}.yaml"), str(folder), shop)
    assert all(table.identity_holds for table in report.tables)
    open_shop(shop)
    return report, shop


def test_online_retail(shared_data, tmp_path):
    report, shop = import_public(shared_data, tmp_path, "online_retail")
    events = next(t for t in report.tables if t.table == "interactions")
    assert (events.read, events.duplicates) == (370_931, 2_848)
    rows = read_table(shop, "interactions")
    assert rows["event_type"].value_counts().to_dict() == {"purchase": 360_432, "cancellation": 6_625}
    assert (rows.loc[rows["event_type"] == "cancellation", "quantity"] < 0).all()
    assert "17850" in set(rows["user_id"])
    products = read_table(shop, "products")
    assert products["product_id"].is_unique
    assert not products["title"].isna().any()


def test_crowdflower(shared_data, tmp_path):
    report, shop = import_public(shared_data, tmp_path, "crowdflower_search_relevance")
    assert [t.read for t in report.tables] == [10_158, 10_158]
    judgments = read_table(shop, "judgments")
    assert set(judgments["grade"]) == {1.0, 2.0, 3.0, 4.0}
    assert judgments["query"].nunique() == 261
    assert set(judgments["product_id"]) == set(read_table(shop, "products")["product_id"])


def test_chinese_reviews(shared_data, tmp_path):
    report, shop = import_public(shared_data, tmp_path, "reviews_zh_online_shopping")
    assert report.tables[0].read == 62_774
    reviews = read_table(shop, "reviews")
    assert set(reviews["label"]) == {"positive", "negative"}
    assert reviews["category"].nunique() == 10


def test_abt_buy(shared_data, tmp_path):
    report, shop = import_public(shared_data, tmp_path, "match_abt_buy")
    assert report.tables[0].read == 5743 + 1916 + 1916
    pairs = read_table(shop, "pairs")
    assert set(pairs["split"]) == {"train", "valid", "test"}
    assert not pairs["text_a"].str.contains("COL |VAL ").any()


def test_retrotech(shared_data, tmp_path):
    report, shop = import_public(shared_data, tmp_path, "retrotech")
    assert report.tables[0].read == 48_194
    events = read_table(shop, "interactions", ["event_type", "position", "ranking_id"])
    assert events["position"].min() == 1
    clicks = events[events["event_type"] == "click"]
    assert 0.009 < len(clicks) / (len(events) - len(clicks)) < 0.06
    assert read_table(shop, "products", ["title"])["title"].str.contains('"').any()
