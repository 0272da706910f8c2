"""Files and folders on local disks and object stores: atomic writes, sealed folders, safe names.

A *sealed folder* is immutable. It is written aside, every file is flushed to disk, its manifest (a JSON file with the
size and sha256 of every other file) is written last, and the whole is renamed into place. A reader that finds a
manifest which verifies therefore has all of it; anything else is refused.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec

from planogram.errors import ConfigError, IntegrityError, NotFoundError, StorageError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CHUNK_BYTES = 1 << 20


def home() -> str:
    """Where all state lives: PLANOGRAM_HOME, by default `.planogram` in the working folder."""
    return absolute(os.environ.get("PLANOGRAM_HOME") or ".planogram")


def absolute(uri: str) -> str:
    """The location independent of the working folder, which workers do not share; a URI as it is."""
    return str(local_path(uri).absolute()) if is_local(uri) else uri


def join(base: str, *parts: str) -> str:
    """Join path segments below a local path or a URI."""
    return "/".join([base.rstrip("/"), *parts])


def is_local(uri: str) -> bool:
    """Tell whether a location is a path on this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local location.

    Raises:
        StorageError: the location is on an object store.
    """
    if not is_local(uri):
        raise StorageError(f"{uri} is not on this machine", allowed="a local path", remedy="give a local folder")
    return Path(uri.removeprefix("file://"))


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of a location and the path on it."""
    try:
        return fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{uri}: {error}", remedy="install the fsspec driver of this protocol") from error


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it may be part of a path.

    Raises:
        ConfigError: it does not match `NAME_PATTERN`.
    """
    if not NAME_PATTERN.fullmatch(name):  # `$` would allow a newline at the end
        raise ConfigError(
            f"{what} {name!r} is not a valid name",
            allowed="1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit",
            remedy="choose another name",
        )
    return name


def exists(uri: str) -> bool:
    """Tell whether a file or folder is there."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def list_names(uri: str) -> list[str]:
    """The sorted names directly below a folder; empty where there is no folder."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        return []
    fs.invalidate_cache()
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))


def read_bytes(uri: str) -> bytes:
    """The content of a file.

    Raises:
        NotFoundError: there is no such file.
    """
    fs, path = filesystem(uri)
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"{uri} does not exist", remedy="check the path") from error


def read_json(uri: str) -> Any:
    """The content of a JSON file.

    Raises:
        NotFoundError: there is no such file.
        IntegrityError: it is not JSON.
    """
    try:
        return json.loads(read_bytes(uri))
    except ValueError as error:
        raise IntegrityError(f"{uri} is not valid JSON: {error}", remedy="write it again") from error


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file atomically: readers see the old content or the new, and a local write survives a power cut."""
    if not is_local(uri):
        fs, path = filesystem(uri)
        fs.pipe_file(path, content)
        return
    target = local_path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        _fsync(aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    _fsync(target.parent)


def write_json(uri: str, value: Any) -> None:
    """Write a JSON file atomically, readable and with a stable order of keys as given."""
    write_bytes(uri, dump_json(value))


def dump_json(value: Any) -> bytes:
    """Serialize to indented UTF-8 JSON; NaN and infinity are refused, since JSON has neither."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sha256_file(path: Path) -> str:
    """The hexadecimal sha256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def seal(folder: Path, manifest_name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Flush every file of a local folder and write its manifest last.

    Args:
        folder: holds the files, and no links.
        manifest_name: file name of the manifest.
        payload: what else the manifest says; must not have the key `files`.

    Returns:
        The manifest: the payload and `files`, path -> {bytes, sha256}.
    """
    files = {}
    for path in sorted(_regular_files(folder)):
        relative = path.relative_to(folder).as_posix()
        if relative != manifest_name:
            _fsync(path)
            files[relative] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    manifest = {**payload, "files": files}
    for path in folder.rglob("*"):
        if path.is_dir():
            _fsync(path)
    write_bytes(str(folder / manifest_name), dump_json(manifest))
    return manifest


def verify(folder: Path, manifest_name: str) -> dict[str, Any]:
    """Check a sealed local folder against its manifest and return the manifest.

    Raises:
        NotFoundError: there is no folder.
        IntegrityError: the manifest is missing or damaged, or a file is missing, changed, unlisted or a link.
            The message names the file.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} does not exist", remedy="check the path")
    if not (folder / manifest_name).is_file():
        raise IntegrityError(f"{folder / manifest_name} is missing", remedy="the folder was never sealed: make it anew")
    manifest = read_json(str(folder / manifest_name))
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        raise IntegrityError(f"{folder / manifest_name} lists no files", remedy="make the folder anew")
    found = {path.relative_to(folder).as_posix() for path in _regular_files(folder)} - {manifest_name}
    for name in sorted(found - files.keys()):
        raise IntegrityError(
            f"{folder / name} is not listed in {manifest_name}", remedy="remove it or make the folder anew"
        )
    # Only what the walk found is read: a manifest cannot name files outside the folder.
    for name in sorted(files.keys() - found):
        raise IntegrityError(f"{folder / name} is missing", remedy="restore it or make the folder anew")
    for name, entry in files.items():
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise IntegrityError(f"{folder / manifest_name} is damaged at {name}", remedy="make the folder anew")
        _verify_file(folder / name, entry)
    return manifest


def _verify_file(path: Path, entry: dict[str, Any]) -> None:
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise IntegrityError(
            f"{path} has {size} bytes, not {entry['bytes']}", remedy="restore it or make the folder anew"
        )
    if sha256_file(path) != entry["sha256"]:
        raise IntegrityError(f"{path} is damaged: its sha256 is not the one in the manifest", remedy="restore it")


@contextmanager
def sealed_folder(uri: str, manifest_name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Build a sealed folder at a local path or a URI.

    Yields a local folder to fill and a dictionary for the manifest's payload. Leaving the block normally seals and
    publishes; leaving it by an exception leaves nothing behind.

    Raises:
        StorageError: something is already there: sealed folders are never overwritten.
    """
    if exists(uri):
        raise StorageError(f"{uri} is already there", remedy="choose another place or remove it first")
    payload: dict[str, Any] = {}
    if is_local(uri):
        target = local_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        aside.mkdir()
    else:
        aside = Path(tempfile.mkdtemp(prefix="planogram-"))
    try:
        yield aside, payload
        seal(aside, manifest_name, payload)
        _publish(aside, uri, manifest_name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _publish(aside: Path, uri: str, manifest_name: str) -> None:
    if is_local(uri):
        target = local_path(uri)
        aside.rename(target)
        _fsync(target.parent)
        return
    fs, root = filesystem(uri)
    manifest = aside / manifest_name
    for path in [*(path for path in _regular_files(aside) if path != manifest), manifest]:
        remote = join(root, path.relative_to(aside).as_posix())
        fs.makedirs(fs._parent(remote), exist_ok=True)
        fs.put_file(str(path), remote)


def fetch(uri: str, manifest_name: str) -> Path:
    """A verified local copy of a sealed folder; the folder itself when it is local."""
    if is_local(uri):
        folder = local_path(uri)
        verify(folder, manifest_name)
        return folder
    digest = hashlib.sha256(read_bytes(join(uri, manifest_name))).hexdigest()
    cache = Path(tempfile.gettempdir()) / f"planogram-{os.getuid()}" / digest[:32]
    cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(NotFoundError, IntegrityError):
        verify(cache, manifest_name)
        return cache
    aside = cache.with_name(f".{cache.name}.{uuid.uuid4().hex}")
    try:
        fs, root = filesystem(uri)
        fs.get(root.rstrip("/") + "/", str(aside), recursive=True)
        verify(aside, manifest_name)
        shutil.rmtree(cache, ignore_errors=True)
        with suppress(OSError):  # another process was faster
            aside.rename(cache)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    verify(cache, manifest_name)
    return cache


def _regular_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise IntegrityError(
                f"{path} is a link", allowed="regular files", remedy="replace it by the file it points to"
            )
        if path.is_file():
            yield path


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
