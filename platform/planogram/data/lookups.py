"""Lookup files that are joined by key: small enough to be held in memory."""

from collections.abc import Iterator

import pandas as pd

from planogram.data.derive import Columns
from planogram.data.frames import Kind, Wanted
from planogram.data.mapping import JoinConfig, SourceConfig
from planogram.data.plan import find_files, make_parts
from planogram.data.records import read_part
from planogram.data.validate import Lookup
from planogram.errors import DataError

MAX_LOOKUP_ROWS = 5_000_000


def load_lookups(source: SourceConfig, path: str) -> tuple[dict[str, Lookup], list[str]]:
    """Read the joined files of a source.

    Returns:
        The lookups by name, and what is wrong with their rows, one sentence each.

    Raises:
        DataError: a file is missing, lacks a column, or holds too many rows.
    """
    lookups, problems = {}, []
    for name, join in source.joins.items():
        lookups[name], found = _load(name, join, source, path)
        problems += found
    return lookups, problems


def _load(name: str, join: JoinConfig, source: SourceConfig, path: str) -> tuple[Lookup, list[str]]:
    [(own_key, its_key)] = join.key.items()
    prefix = f"{name}."
    used = {column for field in source.fields.values() for column in field.columns() if column.startswith(prefix)}
    names = sorted(column.removeprefix(prefix) for column in used)
    wanted = Wanted({column: ["a join"] for column in [its_key, *names]}, frozenset([its_key, *names]))
    pieces, problems = [], []
    for frame in _frames(join, path, wanted):
        records = frame[frame["_kind"] == Kind.RECORD]
        problems += _problems(frame)
        columns = Columns(records, join.missing)
        values = {column: columns[column].to_pandas() for column in names}
        pieces.append(pd.DataFrame({"key": columns[its_key].to_pandas(), **values}))
        if sum(map(len, pieces)) > MAX_LOOKUP_ROWS:
            raise DataError(
                f"the join {name!r} has more than {MAX_LOOKUP_ROWS:,} rows", remedy="join the files before the import"
            )
    table = pd.concat(pieces, ignore_index=True).dropna(subset=["key"])
    repeated = int(table.drop_duplicates()["key"].duplicated().sum())
    if repeated:
        problems.append(f"join {name!r}: {repeated:,} rows repeat a key with other values; the first one counts")
    return Lookup(name, own_key, table.drop_duplicates("key", ignore_index=True)), problems


def _frames(join: JoinConfig, path: str, wanted: Wanted) -> Iterator[pd.DataFrame]:
    found = find_files(join, path)
    for part in make_parts(join, found, source=0, first=0):
        yield from read_part(part, join, wanted)


def _problems(frame: pd.DataFrame) -> list[str]:
    problems = []
    for kind in (Kind.BROKEN, Kind.DAMAGE, Kind.FATAL):
        rows = frame[frame["_kind"] == kind]
        if len(rows) and kind == Kind.FATAL:
            raise DataError(rows["_reason"].iloc[0], remedy="mend the file, or the join in the mapping")
        if len(rows):
            first = rows.iloc[0]
            problems.append(
                f"{len(rows):,} rows not read, first {first['_file']}, line {first['_line']}: {first['_reason']}"
            )
    return problems
