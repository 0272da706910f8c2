"""Delimited text into records. A broken record costs one line: reading goes on at the next one."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from planogram.data.lines import MAX_LINE_BYTES, BrokenLine, Line
from planogram.data.mapping import CsvOptions

MAX_RECORD_CHARACTERS = MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """What could not be read as a record.

    Attributes:
        text: the line as it is, as far as it was kept.
        damaged: the file is damaged here: nothing follows.
    """

    line: int
    reason: str
    text: str
    damaged: bool = False


class _RecordTooLongError(Exception):
    """The record at hand spans more characters than allowed: most likely a quote is never closed."""


class _BrokenLineError(Exception):
    """A line that cannot be read came where the record at hand goes on."""


class _Feed:
    """Hands lines to the csv module and remembers those of the record at hand, so that they can be read again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self.lines = lines
        self.held: list[Line] = []
        self.held_characters = 0
        self.again: deque[Line] = deque()
        self.line = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.lines)
        self.line += 1
        self.held.append(line)
        if isinstance(line, BrokenLine):
            raise _BrokenLineError
        self.held_characters += len(line)
        if self.held_characters > MAX_RECORD_CHARACTERS and len(self.held) > 1:
            raise _RecordTooLongError
        return line

    def accept(self) -> int:
        """Forget the record's lines; gives the number of its first one."""
        first = self.line - len(self.held) + 1
        self.held.clear()
        self.held_characters = 0
        return first

    def give_up_first(self) -> tuple[int, Line]:
        """Forget the record's first line and read the others again as lines of their own."""
        first_line, *others = self.held
        number = self.accept()
        self.again.extendleft(reversed(others))
        self.line -= len(others)
        return number, first_line


def dialect(options: CsvOptions, default_delimiter: str) -> dict[str, Any]:
    """The arguments of `csv.reader`."""
    return {
        "delimiter": options.delimiter or default_delimiter,
        "quotechar": options.quote or '"',
        "quoting": csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
        "escapechar": options.escape,
        "skipinitialspace": options.skip_initial_space,
        "strict": True,
    }


Record = tuple[int, list[str]]


def read_delimited(
    lines: Iterator[Line], dialect: dict[str, Any], header: list[str] | None
) -> Iterator[Record | BrokenRecord]:
    """Yield the header first (unless given), then records with the number of their first line (1-based).

    Blank lines are passed over. A record that does not fit the header, a quote that is never closed and text after a
    closing quote break the line where the record began; the lines after it are read again.

    Args:
        lines: as `decode_lines` gives them.
        dialect: arguments of `csv.reader`.
        header: names of the columns of a file without a header line.
    """
    csv.field_size_limit(2 * MAX_RECORD_CHARACTERS)
    feed = _Feed(lines)
    reader = csv.reader(feed, **dialect)
    width = len(header) if header else 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (csv.Error, _RecordTooLongError, _BrokenLineError) as error:
            yield _broken(feed, error)
            # After an error inside a record a reader may hold a half-read one.
            reader = csv.reader(feed, **dialect)
            continue
        if not fields:
            feed.accept()
        elif len(fields) == width or not width:
            width = len(fields)
            yield feed.accept(), fields
        else:
            yield _misfit(feed, len(fields), width)


def _broken(feed: _Feed, error: Exception) -> BrokenRecord:
    several = len(feed.held) > 1
    number, line = feed.give_up_first()
    if isinstance(line, BrokenLine):
        return BrokenRecord(number, line.reason, line.text, line.damaged)
    if several or "unexpected end of data" in str(error):
        reason = "a quote is not closed, or closed in the wrong place"
    elif isinstance(error, csv.Error):
        reason = f"not valid CSV: {error}"
    else:
        reason = "the record is too long"
    return BrokenRecord(number, reason, line)


def _misfit(feed: _Feed, found: int, expected: int) -> BrokenRecord:
    several = len(feed.held) > 1
    number, line = feed.give_up_first()
    reason = f"{found} fields where the header has {expected}"
    reason += ", over several lines: a quote may be unclosed" if several else ""
    return BrokenRecord(number, reason, line if isinstance(line, str) else line.text)
