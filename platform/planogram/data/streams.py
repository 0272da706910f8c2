"""Files as streams of bytes: gzip, zip and tar are opened by content, nothing is ever extracted to disk.

Every reader gives all bytes that can be had before it raises `DamagedError`, so that no row before the damage is lost.
"""

import fnmatch
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, cast

from planogram import storage
from planogram.errors import DataError

CHUNK_BYTES = 1 << 18
# Deflated text shrinks 3 to 30 times; a decompression bomb about 1000 times.
BOMB_RATIO = 250
BOMB_FLOOR_BYTES = 64 << 20
_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_TAR_MAGIC_AT, _TAR_MAGIC, _TAR_BLOCK = 257, b"ustar", 512


class DamagedError(DataError):
    """A file cannot be read, or not beyond a place."""


@dataclass(frozen=True)
class Member:
    """One readable stream: a plain file (empty name) or a member of an archive."""

    name: str
    chunks: Iterator[bytes]


def open_members(uri: str, pattern: str, only: str | None = None) -> Iterator[Member]:
    """The streams in a file, decompressed; each must be consumed before the next is asked for.

    Args:
        uri: local path or URI.
        pattern: glob over the names of archive members.
        only: the one zip member to read, as named by `zip_members`.

    Raises:
        DamagedError: the archive itself cannot be read further. A damaged member raises while its chunks are read.
    """
    head, chunks = _peek(_file_chunks(uri))
    _check_suffix(uri, head)
    if head.startswith(_ZIP):
        for name in [only] if only is not None else zip_members(uri, pattern):
            yield Member(name, _decompressed(_zip_chunks(uri, name)))
        return
    head, chunks = _peek(_decompressed(chunks))
    if head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        yield from _tar_members(chunks, pattern)
    else:
        yield Member("", chunks)


def is_zip(uri: str) -> bool:
    """Tell whether a file starts like a zip archive; an unreadable one does not."""
    fs, path = storage.filesystem(uri)
    try:
        with fs.open(path, "rb") as file:
            return file.read(4).startswith(_ZIP)
    except OSError:
        return False


def zip_members(uri: str, pattern: str) -> list[str]:
    """The sorted names of the files in a zip archive that match a glob.

    Raises:
        DamagedError: its directory cannot be read.
    """
    fs, path = storage.filesystem(uri)
    try:
        with fs.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DamagedError(f"not a readable zip archive: {error}") from error
    return sorted(name for name in names if _matches(name, pattern))


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(PurePosixPath(name).name, pattern)


def _check_name(name: str) -> None:
    if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise DamagedError(f"the archive member's name {name[:200]!r} leads out of the archive: not read")


def _check_suffix(uri: str, head: bytes) -> None:
    name = uri.lower()
    if head and name.endswith((".gz", ".tgz")) and not head.startswith(_GZIP):
        raise DamagedError("named like a gzip file, but it is not one")
    if head and name.endswith(".zip") and not head.startswith(_ZIP):
        raise DamagedError("named like a zip file, but it is not one")


def _file_chunks(uri: str) -> Iterator[bytes]:
    fs, path = storage.filesystem(uri)
    try:
        with fs.open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise DamagedError(f"cannot be read: {error}") from error


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, enough to tell formats apart, and the whole stream; damage is met where it was."""
    held: list[bytes] = []
    damage: DamagedError | None = None
    try:
        while sum(map(len, held)) < _TAR_BLOCK and (chunk := next(chunks, None)) is not None:
            held.append(chunk)
    except DamagedError as error:
        damage = error
    return b"".join(held), _chain(held, damage, chunks)


def _chain(held: Iterable[bytes], damage: DamagedError | None, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from held
    if damage is not None:
        raise damage
    yield from chunks


def _decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head, chunks = _peek(chunks)
    return _gunzip(chunks) if head.startswith(_GZIP) else chunks


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    # gzip.GzipFile drops what it had decoded of its buffer when the file ends early; zlib itself does not.
    taken = given = 0
    inflater, started = zlib.decompressobj(wbits=31), False
    for chunk in chunks:
        taken += len(chunk)
        data = chunk
        while data:
            piece, started = _inflate(inflater, data, given), True
            given += len(piece)
            _check_bomb(given, taken)
            if piece:
                yield piece
            data = inflater.unconsumed_tail
            if inflater.eof:
                # Zeros pad the last member; anything else begins the next one.
                data = inflater.unused_data.lstrip(b"\0")
                inflater, started = zlib.decompressobj(wbits=31), False
    if started:
        yield inflater.flush()
        if not inflater.eof:
            raise DamagedError(f"the gzip file ends early, after {given:,} decompressed bytes")


def _inflate(inflater: "zlib._Decompress", data: bytes, given: int) -> bytes:
    try:
        return inflater.decompress(data, CHUNK_BYTES)
    except zlib.error as error:
        raise DamagedError(f"the gzip data is corrupt after {given:,} decompressed bytes: {error}") from error


def _check_bomb(given: int, taken: int) -> None:
    if given > BOMB_FLOOR_BYTES and given > BOMB_RATIO * taken:
        raise DamagedError(
            f"expands more than {BOMB_RATIO} times ({taken:,} to {given:,} bytes so far): taken for a compression bomb"
        )


def _zip_chunks(uri: str, name: str) -> Iterator[bytes]:
    _check_name(name)
    fs, path = storage.filesystem(uri)
    given = 0
    try:
        with fs.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            info = archive.getinfo(name)
            if info.flag_bits & 1:
                raise DamagedError(f"the archive member {name!r} is encrypted")
            _check_bomb(info.file_size, info.compress_size)
            with cast("zipfile.ZipExtFile", archive.open(info)) as member:
                while chunk := member.read1(CHUNK_BYTES):
                    given += len(chunk)
                    yield chunk
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise DamagedError(f"the zip member {name!r} cannot be read beyond {given:,} bytes: {error}") from error


class _Stream:
    """What tarfile reads from. Damage looks like the end of the file and is kept, to be reported once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.rest = b""
        self.damage: DamagedError | None = None
        self.reported = False

    def read(self, size: int) -> bytes:
        while len(self.rest) < size and self.damage is None:
            try:
                chunk = next(self.chunks, None)
            except DamagedError as error:
                self.damage = error
                break
            if chunk is None:
                break
            self.rest += chunk
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece


def _tar_members(chunks: Iterator[bytes], pattern: str) -> Iterator[Member]:
    stream = _Stream(chunks)
    try:
        with tarfile.open(mode="r|", fileobj=cast("IO[bytes]", stream)) as archive:
            for info in archive:
                if info.isfile() and not info.issparse() and _matches(info.name, pattern):
                    yield Member(info.name, _tar_chunks(archive, info, stream))
    except (tarfile.TarError, ValueError) as error:
        if stream.reported:
            return
        raise DamagedError(f"the tar archive cannot be read further: {stream.damage or error}") from error


def _tar_chunks(archive: tarfile.TarFile, info: tarfile.TarInfo, stream: _Stream) -> Iterator[bytes]:
    _check_name(info.name)
    # Read below the member's file object, which drops a partial block when the archive ends early.
    source: Any = archive.fileobj
    left = info.size
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            stream.reported, reason = True, stream.damage or "the archive ends early"
            raise DamagedError(f"the tar member {info.name!r} misses its last {left:,} bytes: {reason}")
        left -= len(chunk)
        yield chunk
