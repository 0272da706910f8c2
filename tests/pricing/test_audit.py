import json
import os
import subprocess
import sys

import pytest

from planogram.errors import DataError, IntegrityError
from planogram.pricing.audit import AuditLog, read, verify
from planogram.pricing.chain import Head

WRITE = """
import sys
from planogram.pricing.audit import AuditLog
log = AuditLog(sys.argv[1], max_bytes=20_000)
for number in range(60):
    log.append([{"writer": sys.argv[2], "number": number, "part": part} for part in range(3)])
"""


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "log")


def numbers(path) -> list[int]:
    return [line["number"] for line in read(path)]


def test_lines_are_numbered_and_follow_each_other(path):
    log = AuditLog(path)
    assert log.append([]) == Head()
    head = log.append([{"number": 1, "price": 0.1 + 0.2}, {"number": 2, "text": "Schön\n"}])
    assert AuditLog(path).append([]) == head
    lines = list(read(path))
    assert [line["sequence"] for line in lines] == [1, 2]
    assert lines[0]["previous"] == "0" * 64 and lines[1]["previous"] == lines[0]["hash"]
    assert (lines[0]["price"], lines[1]["text"]) == (0.1 + 0.2, "Schön\n")
    assert lines[0]["at"].endswith("+00:00")
    assert verify(path) == 2 == head.sequence


def test_an_empty_log(path, tmp_path):
    assert verify(path) == 0
    assert verify(str(tmp_path / "no" / "folder" / "log")) == 0


def test_any_changed_byte_is_found(path, tmp_path):
    AuditLog(path).append([{"number": number, "price": 9.99} for number in range(3)])
    whole = (tmp_path / "log").read_bytes()
    for place in range(len(whole)):
        for other in (whole[place] ^ 1, whole[place] ^ 32):
            (tmp_path / "log").write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            with pytest.raises(IntegrityError, match=r"line [123]"):
                verify(path)


def test_bytes_that_mean_the_same_are_found_too(path, tmp_path):
    AuditLog(path).append([{"number": 1, "text": "é"}])
    line = (tmp_path / "log").read_text()
    for other in (line.replace(":1,", ": 1,", 1), line.replace("é", "\\u00e9"), line[:-1] + " \n", line + "\n"):
        assert other != line
        (tmp_path / "log").write_text(other)
        with pytest.raises(IntegrityError):
            verify(path)


@pytest.mark.parametrize(
    "change", [lambda lines: lines[1:], lambda lines: [lines[0], lines[2]], lambda lines: lines[::-1]]
)
def test_lines_that_are_missing_or_moved_are_found(path, tmp_path, change):
    AuditLog(path).append([{"number": number} for number in range(3)])
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join(change(lines)))
    with pytest.raises(IntegrityError, match="does not follow"):
        verify(path)


def test_a_kept_head_finds_an_end_that_was_cut_off(path, tmp_path):
    log = AuditLog(path)
    head = log.append([{"number": number} for number in range(3)])
    log.append([{"number": 3}])
    assert verify(path, head) == 4
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join(lines[:2]))
    assert verify(path) == 2
    with pytest.raises(IntegrityError, match="no such line 3"):
        verify(path, head)


def test_a_torn_line_is_put_aside_and_the_chain_goes_on(path, tmp_path):
    log = AuditLog(path)
    log.append([{"number": number} for number in range(3)])
    whole = (tmp_path / "log").read_bytes()
    third = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(third + 1, len(whole)):
        (tmp_path / "log").write_bytes(whole[:cut])
        with pytest.raises(IntegrityError, match="line 3"):
            verify(path)
        AuditLog(path).append([{"number": 7}])
        assert numbers(path) == [0, 1, 7]
        torn = (tmp_path / "log.torn").read_bytes()
        assert torn.endswith(whole[third:cut] + b"\n")


def test_a_torn_first_line_leaves_an_empty_log(path, tmp_path):
    (tmp_path / "log").write_bytes(b'{"at":')
    AuditLog(path).append([{"number": 1}])
    assert numbers(path) == [1] and (tmp_path / "log.torn").read_bytes() == b'{"at":\n'


def test_nothing_is_appended_to_a_damaged_line(path, tmp_path):
    AuditLog(path).append([{"number": 1}])
    damaged = (tmp_path / "log").read_bytes().replace(b'"number":1', b'"number":2')
    (tmp_path / "log").write_bytes(damaged)
    with pytest.raises(IntegrityError, match="last line"):
        AuditLog(path).append([{"number": 2}])
    assert (tmp_path / "log").read_bytes() == damaged


@pytest.mark.parametrize("record", [{"hash": "x"}, {"price": float("nan")}, {"price": object()}])
def test_a_wrong_record_leaves_nothing_of_its_batch(path, record):
    log = AuditLog(path)
    log.append([{"number": 1}])
    with pytest.raises(DataError):
        log.append([{"number": 2}, record])
    assert numbers(path) == [1]


def test_a_log_that_has_grown_goes_on_in_another_file(path, tmp_path):
    log = AuditLog(path, max_bytes=400)
    for number in range(10):
        log.append([{"number": number}])
    names = sorted(file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock"))
    assert names == ["log", "log.000001", "log.000002", "log.000003", "log.000004"]
    assert numbers(path) == list(range(10)) and verify(path) == 10
    (tmp_path / "log").unlink()  # as if a crash came between the renaming and the next file
    AuditLog(path).append([{"number": 8}])
    assert numbers(path) == [*range(8), 8]
    (tmp_path / "log.000002").unlink()
    with pytest.raises(IntegrityError, match=r"log\.000003, line 1 does not follow"):
        verify(path)


def test_a_line_longer_than_what_is_read_at_once(path):
    for number in range(3):
        AuditLog(path).append([{"number": number, "text": "x" * 200_000}])
    assert numbers(path) == [0, 1, 2]


def test_what_is_appended_while_it_is_read_does_not_matter(path):
    log = AuditLog(path, max_bytes=500)
    log.append([{"number": number} for number in range(4)])
    lines = read(path)
    next(lines)
    log.append([{"number": 4}])
    log.append([{"number": 5}])
    assert [line["number"] for line in lines] == [1, 2, 3]


def test_two_processes_write_one_chain(path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, path, name], env={**os.environ}) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    lines = list(read(path))
    assert verify(path) == len(lines) == 360
    for writer in "ab":
        own = [(line["number"], line["part"]) for line in lines if line["writer"] == writer]
        assert own == [(number, part) for number in range(60) for part in range(3)]
    # A batch stands together.
    assert all(lines[n]["number"] == lines[n + 2]["number"] for n in range(0, 360, 3))


def test_lines_are_plain_json(path, tmp_path):
    AuditLog(path).append([{"number": 1}])
    assert json.loads((tmp_path / "log").read_text())["number"] == 1
