"""What an import reads: the files of a mapping, cut into parts that can be read side by side."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa

from planogram import storage
from planogram.data.frames import Part, Wanted
from planogram.data.mapping import FilesConfig, SourceConfig
from planogram.data.schema import Table
from planogram.data.streams import DamagedError, is_zip, zip_members
from planogram.errors import DataError, NotFoundError

PART_BYTES = 64 << 20
# How many bytes of text one byte of a file is worth: only the number of buckets depends on it.
_COMPRESSED = (".gz", ".tgz", ".zip")
_COMPRESSED_FACTOR, _PARQUET_FACTOR = 8, 4


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: where it is, its name in reports, its size."""

    uri: str
    shown: str
    num_bytes: int


def find_files(files: FilesConfig, path: str) -> list[SourceFile]:
    """The files that a source names, sorted.

    Raises:
        NotFoundError: the folder does not exist.
        DataError: a glob matches no file, or leads out of the folder.
    """
    fs, root = storage.filesystem(path)
    if not fs.isdir(root):
        raise NotFoundError(f"{path} is not a folder", remedy="give the folder that holds the source files")
    root = root.rstrip("/")
    found: dict[str, SourceFile] = {}
    for pattern in files.files:
        if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
            raise DataError(f"the glob {pattern!r} leads out of the folder", remedy="name files below the folder")
        entries = fs.glob(f"{glob.escape(root)}/{pattern}", detail=True)
        matches = [(name, info["size"]) for name, info in entries.items() if info["type"] == "file"]
        if not matches:
            raise DataError(
                f"no file in {path} matches {pattern!r}",
                allowed=f"the folder holds {_names(fs.ls(root, detail=False))}",
                remedy="mend `files` in the mapping, or --path",
            )
        for name, num_bytes in matches:
            uri = name if storage.is_local(path) else str(fs.unstrip_protocol(name))
            found[uri] = SourceFile(uri, name.removeprefix(root).lstrip("/"), num_bytes)
    return [found[uri] for uri in sorted(found)]


def make_parts(files: FilesConfig, found: Sequence[SourceFile], source: int, first: int) -> Iterator[Part]:
    """Cut files into parts: zip members and Parquet row groups are read side by side, anything else from end to end.

    Args:
        files: how they are written.
        found: where they are.
        source: number of the source in its table.
        first: number of the first part; the order of parts is the order of rows.
    """
    number = first
    for file in found:
        whole = Part(number, source, file.uri, file.shown)
        pieces = list(_row_groups(whole)) if files.format == "parquet" else list(_members(whole, files.member))
        for piece in pieces:
            yield replace(piece, number=number)
            number += 1


def text_bytes(files: FilesConfig, found: Sequence[SourceFile]) -> int:
    """About how many bytes of text the files hold."""
    factor = _PARQUET_FACTOR if files.format == "parquet" else 1
    return sum(
        file.num_bytes * (_COMPRESSED_FACTOR if file.uri.lower().endswith(_COMPRESSED) else factor) for file in found
    )


def wanted_columns(table: Table, source: SourceConfig) -> Wanted:
    """The columns that a source's files must have, and what for."""
    uses: dict[str, list[str]] = {name: [] for name in sorted(source.columns())}
    for name, field in source.fields.items():
        for column in field.columns():
            if column in uses:
                uses[column].append(name)
    keys = [next(iter(join.key)) for join in source.joins.values()]
    for column in [*source.where, *keys]:
        uses[column].append("where" if column in source.where else "a join")
    needed = {column.name for column in table.columns if column.required and source.fields[column.name].default is None}
    required = {name for name, fields in uses.items() if needed.intersection(fields)}
    # A hash over fewer columns would silently be another one.
    hashed = {name for field in source.fields.values() for name in field.hash or ()} & set(uses)
    return Wanted(uses, frozenset(required | set(source.where) | set(keys) | hashed))


def _members(whole: Part, pattern: str) -> Iterator[Part]:
    try:
        names = zip_members(whole.uri, pattern) if is_zip(whole.uri) else []
    except DamagedError:
        names = []  # reading the part meets the damage again and reports it
    yield from [replace(whole, member=name) for name in names] or [whole]


def _row_groups(whole: Part) -> Iterator[Part]:
    import pyarrow.parquet as pq

    fs, path = storage.filesystem(whole.uri)
    try:
        with fs.open(path, "rb") as handle, pq.ParquetFile(handle) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            sizes = [(group.total_byte_size, group.num_rows) for group in groups]
    except (pa.ArrowException, OSError):
        yield whole  # reading the part meets the damage again and reports it
        return
    held: list[int] = []
    held_bytes, first_row, rows = 0, 0, 0
    for index, (num_bytes, num_rows) in enumerate(sizes):
        held.append(index)
        held_bytes += num_bytes
        rows += num_rows
        if held_bytes >= PART_BYTES or index == len(sizes) - 1:
            yield replace(whole, row_groups=tuple(held), first_row=first_row)
            held, held_bytes, first_row = [], 0, rows
    if not sizes:
        yield whole


def _names(paths: Sequence[str]) -> str:
    names = sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)
    return (", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")) or "nothing"
