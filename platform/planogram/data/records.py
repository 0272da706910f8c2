"""Source files into frames: CSV, TSV, JSON documents, JSON lines and Parquet.

What is wrong with a file travels as a row too: nothing raises across a cluster, and nothing is lost.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from planogram import storage
from planogram.data.delimited import BrokenRecord, Record, dialect, read_delimited
from planogram.data.frames import FRAME_ROWS, FrameWriter, Kind, Part, Wanted, events_frame, records_frame
from planogram.data.lines import BrokenLine, decode_lines
from planogram.data.mapping import KEY_COLUMN, VALUE_COLUMN, FilesConfig
from planogram.data.streams import DamagedError, Member, open_members

MAX_COLUMNS = 2000
# A JSON document is parsed as a whole; what is larger has to be JSON lines.
MAX_DOCUMENT_BYTES = 256 << 20
# Numbers stay as they are written.
_AS_WRITTEN: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": str}


def read_part(part: Part, files: FilesConfig, wanted: Wanted) -> Iterator[pd.DataFrame]:
    """Read one part as frames, in the order of the file.

    Args:
        part: what to read.
        files: how it is written.
        wanted: columns that the mapping uses; a file without the required ones stops the import.
    """
    if files.format == "parquet":
        yield from _read_parquet(part, wanted)
        return
    any_member = False
    try:
        for member in open_members(part.uri, files.member, part.member):
            any_member = True
            name = f"{part.shown}!{member.name}" if member.name else part.shown
            if files.format == "jsonl":
                yield from _read_json_lines(part, member, files, name, wanted)
            elif files.format == "json":
                yield from _read_json(part, member, files, name, wanted)
            else:
                yield from _read_csv(part, member, files, name, wanted)
    except DamagedError as damage:
        yield events_frame(part.number, part.shown, [(0, Kind.DAMAGE, f"damaged file: {damage.given}", "")])
    else:
        if not any_member:
            problem = f"no member of {part.shown} matches {files.member!r}"
            yield events_frame(part.number, part.shown, [(0, Kind.FATAL, problem, "")])


def _read_csv(part: Part, member: Member, files: FilesConfig, name: str, wanted: Wanted) -> Iterator[pd.DataFrame]:
    header = list(files.csv.header) if files.csv.header else None
    lines = decode_lines(member.chunks, files.encoding)
    records = read_delimited(lines, dialect(files.csv, "\t" if files.format == "tsv" else ","), header)
    frames = FrameWriter(part.number, name, header or [])
    if header is None:
        first = next(records, None)
        if isinstance(first, BrokenRecord):
            yield from _without_header(frames, first)
            return
        frames.columns = unique_names(first[1]) if first else []
    if problem := _unusable(name, frames.columns, wanted):
        yield events_frame(part.number, name, [(1, Kind.FATAL, problem, "")])
        return
    yield from _collect(frames, records)


def _without_header(frames: FrameWriter, first: BrokenRecord) -> Iterator[pd.DataFrame]:
    if first.damaged:
        frames.add_broken(first.line, Kind.DAMAGE, first.reason, first.text)
        yield from frames.close()
        return
    problem = f"{frames.file} has no readable header: line {first.line}: {first.reason}"
    yield events_frame(frames.part, frames.file, [(first.line, Kind.FATAL, problem, first.text)])


def _collect(frames: FrameWriter, records: Iterator[Record | BrokenRecord]) -> Iterator[pd.DataFrame]:
    for record in records:
        if isinstance(record, BrokenRecord):
            kind = Kind.DAMAGE if record.damaged else Kind.BROKEN
            frames.add_broken(record.line, kind, record.reason, record.text)
        else:
            line, fields = record
            frames.add(line, fields, sum(map(len, fields)))
        if frames.full:
            yield from frames.flush()
    yield from frames.close()


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of columns made unique: a blank one is `column_N` (1-based), a repeated one gets `_2`, `_3`."""
    seen: dict[str, int] = {}
    unique = []
    for position, given in enumerate(names, 1):
        name = given.strip() or f"column_{position}"
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _unusable(name: str, columns: list[str], wanted: Wanted) -> str:
    if len(columns) > MAX_COLUMNS:
        return f"{name} has {len(columns):,} columns; allowed are {MAX_COLUMNS:,}"
    # A file without even a header is empty, which is told of elsewhere.
    return wanted.missing(name, columns) if columns else ""


def _read_json_lines(
    part: Part, member: Member, files: FilesConfig, name: str, wanted: Wanted
) -> Iterator[pd.DataFrame]:
    frames = FrameWriter(part.number, name, [])
    paths = [column for column in wanted.columns if "." in column]
    for number, line in enumerate(decode_lines(member.chunks, files.encoding), 1):
        if isinstance(line, BrokenLine):
            kind = Kind.DAMAGE if line.damaged else Kind.BROKEN
            frames.add_broken(number, kind, line.reason, line.text)
        elif not line.isspace():
            try:
                record = json.loads(line, **_AS_WRITTEN)
            except (ValueError, RecursionError) as error:
                frames.add_broken(number, Kind.BROKEN, f"not valid JSON: {error}", line)
            else:
                yield from _add_object(frames, number, record, paths, line)
        if frames.full:
            yield from frames.flush()
    yield from frames.close()


def _read_json(part: Part, member: Member, files: FilesConfig, name: str, wanted: Wanted) -> Iterator[pd.DataFrame]:
    frames = FrameWriter(part.number, name, [])
    paths = [column for column in wanted.columns if "." in column]
    try:
        rows = _document_rows(member, files.encoding)
    except DamagedError as damage:
        frames.add_broken(1, Kind.DAMAGE, f"damaged file: {damage.given}", "")
        rows = []
    except (ValueError, RecursionError) as error:
        frames.add_broken(1, Kind.DAMAGE, f"not a JSON document: {error}", "")
        rows = []
    for number, row in enumerate(rows, 1):
        yield from _add_object(frames, number, row, paths, f"row {number:,} of the document")
        if frames.full:
            yield from frames.flush()
    yield from frames.close()


def _document_rows(member: Member, encoding: str) -> list[Any]:
    """The rows of a document: the elements of its array, or the values of its object with their keys."""
    content = bytearray()
    for chunk in member.chunks:
        content += chunk
        if len(content) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"more than {MAX_DOCUMENT_BYTES:,} bytes; larger data is read as JSON lines")
    # The last object to be closed is the outermost one. Its pairs are needed, as a dict drops repeated keys.
    outermost: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        outermost[:] = pairs
        return dict(pairs)

    text = content.decode(encoding).removeprefix("\ufeff")
    document = json.loads(text, object_pairs_hook=remember, **_AS_WRITTEN)
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        return [{KEY_COLUMN: k} | (v if isinstance(v, dict) else {VALUE_COLUMN: v}) for k, v in outermost]
    raise ValueError(f"a JSON {type(document).__name__} where an array or an object is expected")


def _add_object(
    frames: FrameWriter, number: int, record: Any, paths: Sequence[str], shown: str
) -> Iterator[pd.DataFrame]:
    row = _json_row(record, frames.columns, paths)
    if isinstance(row, str):
        frames.add_broken(number, Kind.BROKEN, row, shown)
        return
    if len(row) != frames.width:
        yield from frames.flush()
    frames.add(number, row, sum(len(text) for text in row if text))


def _json_row(record: Any, columns: list[str], paths: Sequence[str]) -> list[str | None] | str:
    """The values of `columns`, which grows with new keys; or what is wrong with the record."""
    if not isinstance(record, dict):
        return f"a JSON {type(record).__name__} where an object is expected"
    try:
        nested = {path: _at(record, path) for path in paths if path not in record}
        texts = {key: _json_text(value) for key, value in (record | nested).items()}
        "".join(text for text in texts.values() if text).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair in JSON text"
    except RecursionError:
        return "JSON that is nested too deeply"
    if any("\0" in text for text in texts.values() if text):
        return "a NUL character"
    if len(columns) + len(texts.keys() - set(columns)) > MAX_COLUMNS:
        return f"more than {MAX_COLUMNS:,} different keys in one file"
    row = [texts.pop(column, None) for column in columns]
    columns.extend(texts)
    return row + list(texts.values())


def _at(record: Any, path: str) -> Any:
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _read_parquet(part: Part, wanted: Wanted) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    row, columns = part.first_row, []
    fs, path = storage.filesystem(part.uri)
    try:
        with fs.open(path, "rb") as handle, pq.ParquetFile(handle) as file:
            columns = file.schema_arrow.names
            if problem := _unusable(part.shown, columns, wanted):
                yield events_frame(part.number, part.shown, [(0, Kind.FATAL, problem, "")])
                return
            for batch in file.iter_batches(FRAME_ROWS, row_groups=list(part.row_groups)):
                lines = pa.array(range(row + 1, row + 1 + len(batch)), pa.int64())
                values = [_as_text(column) for column in batch.columns]
                yield records_frame(part.number, part.shown, lines, columns, values)
                row += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # Arrow's messages may span lines and carry its own stack.
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        yield events_frame(part.number, part.shown, [(row + 1, Kind.DAMAGE, f"damaged file: {reason}", "")])
    facts = {"columns": columns, "records": row - part.first_row}
    yield events_frame(part.number, part.shown, [(0, Kind.FILE, "", json.dumps(facts))])


def _as_text(array: Any) -> Any:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_text(array.dictionary_decode())
    if pa.types.is_nested(kind):
        # Arrow gives a map as a list of pairs; JSON has objects for that.
        values = (dict(v) if pa.types.is_map(kind) and v is not None else v for v in array.to_pylist())
        texts = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values]
        return pa.array(texts, pa.large_string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        texts = [None if v is None else v.decode(errors="backslashreplace") for v in array.to_pylist()]
        return pa.array(texts, pa.large_string())
    return pc.cast(array, pa.large_string())
