"""Duplicates, without a table ever being in memory: rows are spread by key over buckets on disk, each is then settled.

Tasks that validate write one Arrow file each, with one record batch per bucket; the task of a bucket reads its batches
in the order of the source files, so the result does not depend on which task was faster.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from planogram.data.hashing import Hashes, hash_rows, mix
from planogram.data.measure import measure
from planogram.data.schema import Table
from planogram.data.tally import Tally
from planogram.data.validate import quarantine_line

BUCKET_BYTES = 128 << 20
MAX_BUCKETS = 512
# Output is written in row groups of about this many rows.
GROUP_ROWS = 131_072

_HASHES = ("_key_hi", "_key_lo", "_content")
_REASON = "the key of another row, with different content"
_KEPT, _DUPLICATE, _SUPERSEDED, _CONFLICT = range(4)


def num_buckets(source_bytes: int) -> int:
    """Buckets for so many bytes of decompressed source text; the same for the same input on every machine."""
    return max(1, min(MAX_BUCKETS, math.ceil(source_bytes / BUCKET_BYTES)))


def spill(rows: Any, table: Table, buckets: int, folder: Path) -> None:
    """Write validated rows to a file of `folder`, one record batch per bucket.

    The file's name sorts by the place of its first row. No rows, no file.
    """
    if not len(rows):
        return
    rows = rows.combine_chunks()
    contents = [_array(rows, column.name) for column in table.columns]
    keys = [_array(rows, name) for name in table.key] or contents
    hashes = [hash_rows(keys, 0), hash_rows(keys, 1), hash_rows(contents)]
    for name, values in zip(_HASHES, hashes, strict=True):
        rows = rows.append_column(name, pa.array(values))
    bucket_of = (hashes[0] % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(bucket_of, kind="stable")
    ends = np.searchsorted(bucket_of[order], np.arange(buckets + 1))
    rows = rows.take(pa.array(order)).combine_chunks()
    first = f"{rows['_part'][0].as_py():08d}-{pc.min(rows['_line']).as_py():014d}"
    with pa.OSFile(str(folder / f"{first}.arrow"), "wb") as sink, _writer(sink, rows.schema) as writer:
        for start, end in pairwise(ends):
            writer.write_batch(_one_batch(rows.slice(start, end - start)))


def _writer(sink: Any, schema: Any) -> Any:
    return pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))


def _one_batch(rows: Any) -> Any:
    arrays = [pa.concat_arrays(c.chunks) if c.num_chunks else pa.array([], c.type) for c in rows.columns]
    return pa.record_batch(arrays, schema=rows.schema)


def _array(rows: Any, name: str) -> Any:
    column = rows[name]
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def read_bucket(folder: Path, bucket: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The record batches of one bucket in the order of the source files."""
    for path in sorted(folder.glob("*.arrow")):
        with pa.OSFile(str(path), "rb") as source:
            batch = pa.ipc.open_file(source).get_batch(bucket)
            yield batch.select(list(columns)) if columns else batch


@dataclass(frozen=True)
class Bucket:
    """One bucket of a table, and where its rows go.

    Attributes:
        folder: where `spill` wrote.
        number: which of the buckets.
        target: the Parquet file; not written where nothing is kept.
        quarantine: JSON lines of the rows in conflict; not written where there are none.
    """

    folder: Path
    number: int
    target: Path
    quarantine: Path


def settle(bucket: Bucket, table: Table, keep: str, products: Hashes | None = None) -> Tally:
    """Remove the duplicates of one bucket and write the rest to a Parquet file.

    Only hashes and one batch at a time are in memory, so a bucket may be large.

    Args:
        bucket: what to settle.
        table: whose rows they are.
        keep: quarantine, first or last: see `TableConfig.keep`.
        products: sorted hashes of the known product ids, to count references that lead nowhere.
    """
    fates, digest = _fates(bucket, keep)
    superseded, conflicts = int((fates == _SUPERSEDED).sum()), int((fates == _CONFLICT).sum())
    tally = Tally(
        kept=int((fates == _KEPT).sum()),
        quarantined=conflicts,
        duplicates=int((fates == _DUPLICATE).sum()) + superseded,
        superseded=superseded,
        reasons=Counter({_REASON: conflicts} if conflicts else {}),
        digest=digest,
    )
    start, names = 0, table.arrow_schema.names
    with _Output(bucket.target, table.arrow_schema) as output:
        for batch in read_bucket(bucket.folder, bucket.number):
            fate = fates[start : start + len(batch)]
            start += len(batch)
            kept = batch.filter(pa.array(fate == _KEPT)).select(names)
            measure(kept, tally, products)
            output.add(kept)
            if conflicts:
                _quarantine(batch.filter(pa.array(fate == _CONFLICT)), names, bucket.quarantine)
    return tally


def _fates(bucket: Bucket, keep: str) -> tuple[npt.NDArray[np.int8], tuple[int, int]]:
    """The fate of every row of a bucket, and the digest of those that are kept."""
    batches = [
        [column.to_numpy() for column in batch.columns] for batch in read_bucket(bucket.folder, bucket.number, _HASHES)
    ]
    if not batches:
        return np.zeros(0, dtype=np.int8), (0, 0)
    hi, lo, content = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    fates = decide(hi, lo, content, keep)
    return fates, _digest(content[fates == _KEPT])


def _quarantine(batch: Any, names: list[str], path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        for row in batch.to_pylist():
            record = {name: row[name] for name in names}
            file.write(quarantine_line(row["_file"], row["_line"], _REASON, record) + "\n")


def decide(hi: Hashes, lo: Hashes, content: Hashes, keep: str) -> npt.NDArray[np.int8]:
    """The fate of every row: kept, an exact duplicate, superseded, or in conflict with the row that is kept.

    Args:
        hi: first hash of the key, rows in the order of the source.
        lo: second hash of the key.
        content: hash of the whole row.
        keep: quarantine, first or last.
    """
    if not len(hi):
        return np.zeros(0, dtype=np.int8)
    order = np.lexsort((lo, hi))
    new_key = np.ones(len(hi), dtype=bool)
    new_key[1:] = (hi[order][1:] != hi[order][:-1]) | (lo[order][1:] != lo[order][:-1])
    starts = np.flatnonzero(new_key)
    ends = np.append(starts[1:], len(hi)) - 1
    winners = order[ends if keep == "last" else starts]
    winner_of = np.repeat(winners, np.diff(np.append(starts, len(hi))))
    other = _CONFLICT if keep == "quarantine" else _SUPERSEDED
    fates = np.empty(len(hi), dtype=np.int8)
    fates[order] = np.where(content[order] == content[winner_of], _DUPLICATE, other)
    fates[winners] = _KEPT
    return fates


def _digest(contents: Hashes) -> tuple[int, int]:
    # Sums do not depend on the order of rows; the second one makes up for what the first cannot tell apart.
    return int(contents.sum(dtype=np.uint64)), int(mix(mix(contents) + np.uint64(1)).sum(dtype=np.uint64))


class _Output:
    """A Parquet file with row groups of `GROUP_ROWS`, which begins with its first row."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.schema = schema
        self.writer: Any = None
        self.held: list[Any] = []

    def __enter__(self) -> "_Output":
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()
        if self.writer is not None:
            self.writer.close()

    def add(self, batch: Any) -> None:
        if len(batch):
            self.held.append(batch)
        if sum(map(len, self.held)) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        if not self.held:
            return
        if self.writer is None:
            self.writer = pq.ParquetWriter(str(self.path), self.schema, compression="zstd", compression_level=1)
        # What was validated has no nulls in required columns: only the schema's word for it changes.
        self.writer.write_table(pa.Table.from_batches(self.held).cast(self.schema))
        self.held = []
