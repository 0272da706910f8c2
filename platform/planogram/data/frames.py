"""Frames: what travels between reading and validation.

Every value is text until validation, so that a bad one can be shown as it was. A frame (pandas) has one row per record
and, besides the source's columns (each prefixed by `COLUMN_PREFIX`), the place and kind of each row. What is wrong with
a file travels as a row too: nothing raises across a cluster, and nothing is lost.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import pandas as pd
import pyarrow as pa

COLUMN_PREFIX = "="
FRAME_ROWS = 32_768
FRAME_CHARACTERS = 16 << 20
QUARANTINE_CHARACTERS = 10_000


class Kind(IntEnum):
    """What a row of a frame is."""

    RECORD = 0
    BROKEN = 1  # could not be read
    DAMAGE = 2  # could not be read, and the file not beyond it
    FATAL = 3  # no record: the whole import must stop
    FILE = 4  # no record: the facts of one file, as JSON


@dataclass(frozen=True)
class Part:
    """What one task reads: a file, a member of a zip archive, or some row groups of a Parquet file.

    Attributes:
        number: order of the part's rows among those of its table.
        source: number of its source in the table.
        shown: the file's name in reports.
        first_row: rows of the file before this part.
    """

    number: int
    source: int
    uri: str
    shown: str
    member: str | None = None
    row_groups: tuple[int, ...] = ()
    first_row: int = 0


@dataclass
class FrameWriter:
    """Collects the records of one file and cuts them into frames.

    Attributes:
        values: of all records, one after another. One list per record would keep the garbage collector busy for most of
            the time of an import.
        records: rows that were flushed.
    """

    part: int
    file: str
    columns: list[str]
    lines: list[int] = field(default_factory=list)
    values: list[str | None] = field(default_factory=list)
    width: int = 0
    broken: list[tuple[int, Kind, str, str]] = field(default_factory=list)
    characters: int = 0
    records: int = 0

    def add(self, line: int, row: Sequence[str | None], characters: int) -> None:
        """Add a record, as wide as the others since the last flush."""
        self.width = len(row)
        self.lines.append(line)
        self.values.extend(row)
        self.characters += characters

    def add_broken(self, line: int, kind: Kind, reason: str, text: str) -> None:
        """Add what could not be read as a record."""
        text = text[:QUARANTINE_CHARACTERS]
        self.broken.append((line, kind, reason, text))
        self.characters += len(text)

    @property
    def full(self) -> bool:
        """Whether it is time to `flush`."""
        return len(self.lines) + len(self.broken) >= FRAME_ROWS or self.characters >= FRAME_CHARACTERS

    def flush(self) -> Iterator[pd.DataFrame]:
        """What was added since the last flush: the records, then the broken rows."""
        if self.lines:
            columns = [pa.array(self.values[i :: self.width], pa.large_string()) for i in range(self.width)]
            lines = pa.array(self.lines, pa.int64())
            yield records_frame(self.part, self.file, lines, self.columns[: self.width], columns)
        if self.broken:
            yield events_frame(self.part, self.file, self.broken)
        self.records += len(self.lines) + len(self.broken)
        self.lines, self.values, self.broken, self.characters = [], [], [], 0

    def close(self) -> Iterator[pd.DataFrame]:
        """The last frames, and the facts of the file."""
        yield from self.flush()
        facts = {"columns": self.columns, "records": self.records}
        yield events_frame(self.part, self.file, [(0, Kind.FILE, "", json.dumps(facts))])


def records_frame(part: int, file: str, lines: Any, columns: list[str], values: list[Any]) -> pd.DataFrame:
    """A frame of records: `values` holds one Arrow string array per column."""
    count = len(lines)
    names = ["_part", "_file", "_line", "_kind", *(COLUMN_PREFIX + column for column in columns)]
    places = [_repeat(part, pa.int64(), count), _repeat(file, pa.large_string(), count), lines]
    return pa.table([*places, _repeat(0, pa.int64(), count), *values], names=names).to_pandas()


def events_frame(part: int, file: str, events: list[tuple[int, Kind, str, str]]) -> pd.DataFrame:
    """A frame of rows that are no records: (line, kind, reason, text)."""
    lines, kinds, reasons, texts = zip(*events, strict=True)
    count = len(events)
    columns = {
        "_part": _repeat(part, pa.int64(), count),
        "_file": _repeat(file, pa.large_string(), count),
        "_line": pa.array(lines, pa.int64()),
        "_kind": pa.array([int(kind) for kind in kinds], pa.int64()),
        "_reason": pa.array(reasons, pa.large_string()),
        "_text": pa.array([_valid_text(text) for text in texts], pa.large_string()),
    }
    return pa.table(columns).to_pandas()


def _repeat(value: Any, kind: Any, count: int) -> Any:
    return pa.repeat(pa.scalar(value, kind), count)


def _valid_text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class Wanted:
    """The columns that a mapping uses.

    Attributes:
        columns: all of them -> the fields they are for.
        required: those without which a file is of no use.
    """

    columns: dict[str, list[str]]
    required: frozenset[str]

    def missing(self, file: str, found: Sequence[str]) -> str:
        """What to tell of a file that lacks required columns; empty where it has all."""
        lacking = [name for name in self.columns if name in self.required and name not in found]
        if not lacking:
            return ""
        needs = ", ".join(f"{name!r} (for {', '.join(self.columns[name])})" for name in lacking)
        return f"{file} has no column {needs}; columns found: {', '.join(map(repr, found)) or 'none'}"
