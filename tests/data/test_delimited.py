"""CSV: what a spreadsheet writes is read; what is broken costs one line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.data.delimited import MAX_RECORD_CHARACTERS, BrokenRecord, dialect, read_delimited
from planogram.data.lines import BrokenLine
from planogram.data.mapping import CsvOptions

CSV = dialect(CsvOptions(), ",")


def read(text: str, options: dict | None = None, header: list[str] | None = None) -> list:
    return list(read_delimited(iter(io.StringIO(text, newline="\n")), options or CSV, header))


def broken_lines(records: list) -> list[int]:
    return [record.line for record in records if isinstance(record, BrokenRecord)]


def good(records: list) -> list:
    return [record for record in records if not isinstance(record, BrokenRecord)]


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), min_size=3, max_size=3)
    )
)
def test_reads_what_the_csv_module_writes(rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    assert [fields for _, fields in read(text.getvalue())] == [["a", "b", "c"], *rows]


def test_line_numbers_count_lines_of_the_file():
    assert read('a,b\n\n1,"x\ny"\r\n2,z\n') == [(1, ["a", "b"]), (3, ["1", "x\ny"]), (5, ["2", "z"])]


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_ragged_rows(row):
    records = read(f"a,b\n{row}\n3,4\n")
    assert broken_lines(records) == [2]
    assert f"{len(row.split(','))} fields where the header has 2" in records[1].reason
    assert records[2] == (3, ["3", "4"])


@pytest.mark.parametrize("following", ["3,4\n5,6\n", '3,"4"\n5,"6"\n', '3,"4\n4"\n5,"6"\n', "3,4\n5,6"])
def test_an_unclosed_quote_costs_one_line(following):
    records = read(f'a,b\n1,"never closed\n{following}')
    assert broken_lines(records) == [2]
    assert "quote" in records[1].reason
    assert [fields[0] for _, fields in good(records)] == ["a", "3", "5"]


def test_an_unclosed_quote_in_a_large_file():
    rows = "".join(f"{i},{'x' * 100}\n" for i in range(20_000))
    records = read(f'a,b\n0,"open\n{rows}')
    assert len(rows) > MAX_RECORD_CHARACTERS
    assert broken_lines(records) == [2]
    assert good(records)[1:] == [(i + 3, [str(i), "x" * 100]) for i in range(20_000)]


def test_text_after_a_closing_quote():
    records = read('a,b\n1,"x" y\n2,z\n')
    assert broken_lines(records) == [2]
    assert records[1].text == '1,"x" y\n'


def test_a_lone_carriage_return():
    records = read("a,b\n1,x\ry\n2,z\n")
    assert broken_lines(records) == [2]
    assert records[-1] == (3, ["2", "z"])


def test_a_broken_line_within_a_record_costs_both_lines():
    lines = iter(["a,b\n", '1,"x\n', BrokenLine("a NUL character", "\0"), "3,4\n"])
    records = list(read_delimited(lines, CSV, None))
    assert broken_lines(records) == [2, 3]
    assert records[-1] == (4, ["3", "4"])


def test_escaped_quotes():
    options = dialect(CsvOptions(escape="\\", skip_initial_space=True), ",")
    assert read('a,b\n"3\\" screen", "x"\n', options)[1] == (2, ['3" screen', "x"])


def test_without_quotes_and_header():
    options = dialect(CsvOptions(quote=None), "\t")
    assert read('5" x\t"y\n', options, ["a", "b"]) == [(1, ['5" x', '"y'])]


def test_empty():
    assert read("") == []
    assert read("\n\n") == []
