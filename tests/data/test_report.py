"""The report: what passes, warns and fails."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from rich.console import Console

from planogram import section
from planogram.data.checks import Subject, run_checks
from planogram.data.frames import Wanted
from planogram.data.mapping import TableConfig
from planogram.data.report import Check, Report, TableRows, worst
from planogram.data.tally import Tally

CONFIG = section.parse(TableConfig, {"sources": [{"files": "*", "fields": {"product_id": "p", "price": "c"}}]}, "test")


def check(name: str, **figures: object) -> Check:
    tally = Tally(**{"read": 1000, "kept": 1000, "missing": Counter({"product_id": 0, "price": 0}), **figures})
    subject = Subject("interactions", CONFIG, (), tally, datetime(2020, 1, 1, tzinfo=UTC), has_products=True)
    return next(found for found in run_checks(subject) if found.name == name)


@pytest.mark.parametrize(
    ("name", "figures", "status", "words"),
    [
        ("rows", {}, "PASS", "1,000 rows read = 1,000 kept"),
        ("rows", {"kept": 999}, "FAIL", "do not add up"),
        ("rows", {"not_selected": 5}, "PASS", "left out 5 more"),
        ("files", {"damage": ["a.gz, line 3: ends early"]}, "FAIL", "a.gz, line 3"),
        ("files", {"files": {"a": 0, "b": 2}}, "WARN", "1 file without rows: 'a'"),
        ("files", {"files": {"b": 2}}, "PASS", "1 file with 2 records"),
        ("quarantined", {"quarantined": 10}, "PASS", "1.00%"),
        ("quarantined", {"quarantined": 50, "reasons": Counter({"x: bad": 50})}, "WARN", "x: bad (50)"),
        ("quarantined", {"quarantined": 300}, "FAIL", "30.00%"),
        ("duplicates", {"duplicates": 10}, "PASS", "10 exact"),
        ("duplicates", {"duplicates": 100}, "WARN", "100 exact"),
        ("missing values", {"missing": Counter({"price": 600, "product_id": 0})}, "WARN", "price (60%)"),
        ("missing values", {}, "PASS", "every mapped field"),
        ("products", {"unknown_products": 2, "unknown_examples": ["p9"]}, "WARN", "such as 'p9'"),
        ("products", {}, "PASS", "0 rows"),
        ("prices", {"prices": Counter({20: 100})}, "PASS", "median about 10.6"),
        ("prices", {"prices": Counter({20: 100, 90: 1})}, "WARN", "1 more than 1,000 times"),
        ("prices", {"prices": Counter({20: 100}), "zero_prices": 1}, "WARN", "1 are zero"),
        ("timestamps", {"first": 0, "last": 0}, "WARN", "before 1990"),
        ("timestamps", {"first": 10**15, "last": 10**15}, "PASS", "2001-09-09"),
        ("timestamps", {"first": 10**15, "last": 2 * 10**15}, "WARN", "in the future"),
    ],
)
def test_checks(name, figures, status, words):
    found = check(name, **figures)
    assert found.status == status
    assert words in found.sentence
    json.dumps(found.figures)


def test_optional_columns_that_a_file_lacks():
    tally = Tally(columns={"a.csv": ["p"], "b.csv": ["p", "c"]})
    wanted = (Wanted({"p": ["product_id"], "c": ["price"]}, frozenset("p")),)
    [found] = [
        c for c in run_checks(Subject("products", CONFIG, wanted, tally, datetime.now(UTC))) if c.name == "columns"
    ]
    assert (found.status, found.sentence) == ("WARN", "1 file without the mapped column 'c': 'a.csv'")


def test_tallies_add_up_and_travel_as_json():
    one = Tally(read=2, kept=1, reasons=Counter(a=1), prices=Counter({3: 1}), first=5, last=9, digest=(2**64 - 1, 1))
    one.add_file("a", ["x"], 2)
    two = Tally.from_json(one.to_json())
    assert two == one
    two.merge(one)
    assert (two.read, two.reasons["a"], two.prices[3], two.files, two.digest) == (4, 2, 2, {"a": 4}, (2**64 - 2, 2))
    assert (two.first, two.last) == (5, 9)


def test_worst():
    assert [worst([]), worst(["PASS", "WARN"]), worst(["FAIL", "WARN"])] == ["PASS", "WARN", "FAIL"]


def test_a_report_for_terminals_browsers_and_programs():
    checks = (Check("products", "files", "FAIL", "<b>[red]a.csv</b> is damaged"),)
    report = Report("shop", "out", "0" * 64, 1.5, (TableRows("products", 3, 1, 1, 1),), checks)
    console = Console(width=100, record=True)
    console.print(report.render())
    assert "[red]a.csv" in console.export_text()
    page = report.html()
    assert "&lt;b&gt;[red]a.csv" in page
    assert "http" not in page
    assert json.loads(json.dumps(report.to_dict()))["status"] == "FAIL"
    assert report.tables[0].identity_holds
