"""An append-only log on disk, chained by hashes, that several processes write.

A file that has grown is renamed to PATH.000001 and so on, and the chain goes on in the next. The chain tells nothing
of lines that are cut off at its end: keep the `Head` that `append` gives elsewhere, and verify with it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from planogram import storage
from planogram.errors import IntegrityError
from planogram.pricing.chain import RESTORE, Head, chained, following, parsed

MAX_BYTES = 64 << 20
TAIL_BYTES = 1 << 16


class AuditLog:
    """A log of one path; a process of its own may have another of the same.

    Args:
        path: of the file that is written; on this machine.
        max_bytes: the size from which on the next batch begins another file.
    """

    def __init__(self, path: str, max_bytes: int = MAX_BYTES) -> None:
        self._path = _local(path)
        self._max_bytes = max_bytes

    def append(self, records: Sequence[Mapping[str, Any]]) -> Head:
        """Append a batch; it is on the disk when this returns.

        A last line that a crash has torn is moved to PATH.torn first.

        Returns:
            The last line.

        Raises:
            DataError: a record has a key of the chain, or a value that JSON has not; nothing is written.
            IntegrityError: the last line is damaged.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(self._path):
            _mend(self._path)
            lines, head = chained(records, _head(self._path))
            if self._path.exists() and self._path.stat().st_size >= self._max_bytes:
                _rotate(self._path)
            if lines:
                _write(self._path, lines)
        return head


def read(path: str) -> Iterator[dict[str, Any]]:
    """Every line of a log as it is now, oldest first, checked.

    Raises:
        IntegrityError: names the file and line that is damaged, or torn by a crash and not yet mended by `append`.
    """
    head = Head()
    with ExitStack() as stack:
        for file, size in _opened(_local(path), stack):
            number = 0
            while (left := size - file.tell()) > 0:
                number += 1
                content, head = following(file.readline(left), head, f"{file.name}, line {number}")
                yield content


def verify(path: str, head: Head | None = None) -> int:
    """Check a whole log.

    Args:
        path: as it was given to `AuditLog`.
        head: a last line that was seen, if it is to be found again.

    Returns:
        Its number of lines.

    Raises:
        IntegrityError: a line is damaged, or the head is not in the log. The message names the file and line.
    """
    count, found = 0, head is None or head == Head()
    for content in read(path):
        count = content["sequence"]
        found = found or Head(count, content["hash"]) == head
    if not found:
        raise IntegrityError(f"{path} has no such line {head and head.sequence}", remedy=RESTORE)
    return count


def _local(path: str) -> Path:
    return storage.local_path(storage.absolute(path))


def _lock(path: Path) -> FileLock:
    """Held by who writes; the kernel frees it when a process dies."""
    return FileLock(f"{path}.lock")


def _opened(path: Path, stack: ExitStack) -> list[tuple[BinaryIO, int]]:
    """All files, open, with their sizes between two batches: what is appended or renamed later does not matter."""
    if not path.parent.is_dir():
        return []
    with _lock(path):
        files = [*_old_files(path), *([path] if path.exists() else [])]
        opened = [stack.enter_context(file.open("rb")) for file in files]
        return [(file, os.fstat(file.fileno()).st_size) for file in opened]


def _head(path: Path) -> Head:
    for file in (path, *reversed(_old_files(path))):
        if file.exists() and file.stat().st_size:
            content = parsed(_tail(file).split(b"\n")[-2] + b"\n")
            if content is None:
                raise IntegrityError(f"the last line of {file} is damaged", remedy=RESTORE)
            return Head(content["sequence"], content["hash"])
    return Head()


def _mend(path: Path) -> None:
    """Move what follows the last newline aside: a batch that a crash has cut."""
    torn = _tail(path).rpartition(b"\n")[2] if path.exists() else b""
    if torn:
        _write(path.with_name(f"{path.name}.torn"), [torn + b"\n"])
        os.truncate(path, path.stat().st_size - len(torn))


def _tail(file: Path) -> bytes:
    """The end of a file with its last two newlines in it, or all of it."""
    size, length = file.stat().st_size, TAIL_BYTES
    with file.open("rb") as content:
        while True:
            content.seek(max(size - length, 0))
            tail = content.read()
            if tail.count(b"\n") > 1 or length >= size:
                return tail
            length *= 4


def _old_files(path: Path) -> list[Path]:
    pattern = re.compile(re.escape(path.name) + r"\.\d{6,}")
    return sorted((file for file in path.parent.iterdir() if pattern.fullmatch(file.name)), key=_number)


def _number(file: Path) -> int:
    return int(file.suffix[1:])


def _rotate(path: Path) -> None:
    old = _old_files(path)
    path.rename(path.with_name(f"{path.name}.{_number(old[-1]) + 1 if old else 1:06d}"))


def _write(path: Path, lines: Sequence[bytes]) -> None:
    """Append to a file, on the disk when this returns, its name too."""
    with path.open("ab") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
