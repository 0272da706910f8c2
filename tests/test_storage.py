import errno
import shutil
from pathlib import Path

import fsspec
import pytest

from planogram import storage
from planogram.errors import ConfigError, IntegrityError, NotFoundError, StorageError

SEAL = "seal.json"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    target = tmp_path / "sealed"
    _build(str(target))
    return target


@pytest.fixture
def memory() -> str:
    """An empty folder of the in-memory object store."""
    uri = "memory://storage-test"
    fs, path = storage.filesystem(uri)
    yield uri
    if fs.exists(path):
        fs.rm(path, recursive=True)


def _build(uri: str) -> None:
    with storage.sealed_folder(uri, SEAL) as (folder, payload):
        (folder / "weights.bin").write_bytes(bytes(range(256)) * 10)
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "notes.txt").write_text("notes")
        payload["step"] = 7


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _flip_bit(path: Path, position: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


# Single files.


def test_a_failing_write_keeps_the_old_content_and_leaves_nothing(tmp_path, monkeypatch):
    target = tmp_path / "state.json"
    storage.write_json(str(target), {"step": 1})

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_fsync", full)
    with pytest.raises(OSError, match="No space left"):
        storage.write_json(str(target), {"step": 2})
    assert storage.read_json(str(target)) == {"step": 1}
    assert _names(tmp_path) == ["state.json"]


def test_a_write_replaces_content_and_makes_folders(tmp_path):
    target = str(tmp_path / "a" / "b.json")
    storage.write_json(target, {"text": "größe"})
    storage.write_json(target, [1, 2])
    assert storage.read_json(target) == [1, 2]
    assert storage.list_names(str(tmp_path / "a")) == ["b.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(str(tmp_path / "a.json"), {"x": value})
    assert not (tmp_path / "a.json").exists()


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"absent\.json"):
        storage.read_json(str(tmp_path / "absent.json"))
    (tmp_path / "torn.json").write_text('{"a": 1')
    with pytest.raises(IntegrityError, match=r"torn\.json"):
        storage.read_json(str(tmp_path / "torn.json"))


def test_names_of_an_absent_folder_are_none(tmp_path):
    assert storage.list_names(str(tmp_path / "absent")) == []


@pytest.mark.parametrize(
    ("base", "parts", "expected"),
    [("/a/", ("b", "c"), "/a/b/c"), ("s3://bucket/a", ("b",), "s3://bucket/a/b"), ("a", (), "a")],
)
def test_join(base, parts, expected):
    assert storage.join(base, *parts) == expected


def test_local_and_remote_locations(tmp_path):
    assert storage.local_path(f"file://{tmp_path}") == tmp_path
    assert not storage.is_local("s3://bucket/key")
    with pytest.raises(StorageError, match="s3://bucket"):
        storage.local_path("s3://bucket/key")
    with pytest.raises(StorageError, match="nosuchprotocol"):
        storage.exists("nosuchprotocol://a")


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PLANOGRAM_HOME", "/somewhere")
    assert storage.home() == "/somewhere"
    monkeypatch.delenv("PLANOGRAM_HOME")
    monkeypatch.chdir(tmp_path)
    assert storage.home() == str(tmp_path / ".planogram")
    assert not (tmp_path / ".planogram").exists()


@pytest.mark.parametrize("name", ["a", "7", "shop-ranker", "v1.2_rc-3", "a" * 64])
def test_good_names(name):
    assert storage.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "A", "-a", ".a", "_a", "..", "../a", "a/b", "a\\b", "a b", "é", "a\x00", "a\n", "a@b", "a:1"]
)
def test_bad_names_are_refused(name):
    with pytest.raises(ConfigError, match="model name") as error:
        storage.check_name(name, "model name")
    assert repr(name) in error.value.given
    assert "64" in error.value.allowed


# Sealed folders.


def test_a_sealed_folder_verifies_and_says_what_it_holds(sealed):
    manifest = storage.verify(sealed, SEAL)
    assert manifest["step"] == 7
    assert {"weights.bin", "deep/er/notes.txt"} <= set(manifest["files"])
    assert manifest["files"]["weights.bin"] == {
        "bytes": 2560,
        "sha256": storage.sha256_file(sealed / "weights.bin"),
    }
    assert storage.fetch(str(sealed), SEAL) == sealed


def test_an_exception_leaves_nothing(tmp_path):
    with (
        pytest.raises(RuntimeError, match="half way"),
        storage.sealed_folder(str(tmp_path / "made"), SEAL) as (folder, _),
    ):
        (folder / "half.bin").write_bytes(b"half")
        raise RuntimeError("half way")
    assert _names(tmp_path) == []


def test_a_failure_to_seal_leaves_nothing(tmp_path, monkeypatch):
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _build(str(tmp_path / "made"))
    assert _names(tmp_path) == []


def test_sealed_folders_are_never_overwritten(sealed):
    before = (sealed / SEAL).read_bytes()
    with pytest.raises(StorageError, match="already there"):
        _build(str(sealed))
    assert (sealed / SEAL).read_bytes() == before
    assert _names(sealed.parent) == ["sealed"]


@pytest.mark.parametrize("name", ["weights.bin", "deep/er/notes.txt"])
@pytest.mark.parametrize("damage", ["flip the first bit", "flip the last bit", "truncate", "extend", "empty", "remove"])
def test_verify_names_the_damaged_file(sealed, name, damage):
    path = sealed / name
    content = path.read_bytes()
    match damage:
        case "flip the first bit":
            _flip_bit(path)
        case "flip the last bit":
            _flip_bit(path, -1)
        case "truncate":
            path.write_bytes(content[:-1])
        case "extend":
            path.write_bytes(content + b"\0")
        case "empty":
            path.write_bytes(b"")
        case "remove":
            path.unlink()
    with pytest.raises(IntegrityError) as error:
        storage.verify(sealed, SEAL)
    assert str(path) in error.value.given


@pytest.mark.parametrize("name", ["extra.bin", "deep/extra.bin"])
def test_verify_names_an_unlisted_file(sealed, name):
    (sealed / name).write_bytes(b"")
    with pytest.raises(IntegrityError) as error:
        storage.verify(sealed, SEAL)
    assert str(sealed / name) in error.value.given


@pytest.mark.parametrize("what", ["file", "folder", "manifest", "dangling"])
def test_verify_names_a_link(sealed, tmp_path, what):
    elsewhere = tmp_path / "elsewhere"
    link = sealed / {"file": "weights.bin", "folder": "deep", "manifest": SEAL, "dangling": "new"}[what]
    if what == "dangling":
        link.symlink_to(elsewhere)
    else:
        shutil.move(link, elsewhere)
        link.symlink_to(elsewhere)
    with pytest.raises(IntegrityError, match="is a link") as error:
        storage.verify(sealed, SEAL)
    assert str(link) in error.value.given


def test_a_folder_with_a_link_is_not_sealed(tmp_path):
    with (
        pytest.raises(IntegrityError, match="is a link"),
        storage.sealed_folder(str(tmp_path / "made"), SEAL) as (folder, _),
    ):
        (folder / "link").symlink_to("/etc/hosts")
    assert _names(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"files": []}',
        b'{"files": {"weights.bin": 1}}',
        b'{"files": {"weights.bin": {"bytes": 2560}}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_manifest_is_refused(sealed, content):
    shutil.rmtree(sealed / "deep")
    (sealed / SEAL).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"seal\.json"):
        storage.verify(sealed, SEAL)


def test_no_manifest_and_no_folder(sealed, tmp_path):
    with pytest.raises(NotFoundError, match="absent"):
        storage.verify(tmp_path / "absent", SEAL)
    (sealed / SEAL).unlink()
    with pytest.raises(IntegrityError, match=r"seal\.json is missing"):
        storage.verify(sealed, SEAL)


@pytest.mark.parametrize("name", ["../outside.bin", "deep/../../outside.bin", "{absolute}"])
def test_a_manifest_cannot_name_files_outside(sealed, name):
    outside = sealed.parent / "outside.bin"
    outside.write_bytes(b"outside")
    name = name.format(absolute=outside)
    manifest = storage.read_json(str(sealed / SEAL))
    entry = {"bytes": 7, "sha256": storage.sha256_file(outside)}
    storage.write_json(str(sealed / SEAL), {**manifest, "files": {**manifest["files"], name: entry}})
    with pytest.raises(IntegrityError) as error:
        storage.verify(sealed, SEAL)
    assert name in error.value.given


# Object stores.


def test_remote_files(memory):
    storage.write_json(f"{memory}/a/b.json", {"x": 1})
    assert storage.read_json(f"{memory}/a/b.json") == {"x": 1}
    assert storage.exists(f"{memory}/a/b.json")
    assert storage.list_names(f"{memory}/a") == ["b.json"]
    with pytest.raises(NotFoundError, match=r"c\.json"):
        storage.read_json(f"{memory}/a/c.json")


def test_a_remote_sealed_folder_comes_back_whole(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(tmp_path))
    _build(f"{memory}/made")
    folder = storage.fetch(f"{memory}/made", SEAL)
    assert storage.verify(folder, SEAL)["step"] == 7
    assert (folder / "deep" / "er" / "notes.txt").read_text() == "notes"
    assert storage.fetch(f"{memory}/made", SEAL) == folder
    with pytest.raises(StorageError, match="already there"):
        _build(f"{memory}/made")


def test_an_exception_leaves_nothing_remote(memory):
    with pytest.raises(RuntimeError), storage.sealed_folder(f"{memory}/made", SEAL) as (folder, _):
        (folder / "a").write_bytes(b"a")
        raise RuntimeError
    assert not storage.exists(f"{memory}/made")


def test_remote_damage_is_refused_until_it_is_mended(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(tmp_path))
    uri = f"{memory}/made/weights.bin"
    _build(f"{memory}/made")
    content = storage.read_bytes(uri)
    storage.write_bytes(uri, content[:-1] + b"\0")
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"weights\.bin"):
            storage.fetch(f"{memory}/made", SEAL)
    storage.write_bytes(uri, content)
    assert (storage.fetch(f"{memory}/made", SEAL) / "weights.bin").read_bytes() == content


def test_a_damaged_cache_is_fetched_again(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(tmp_path))
    _build(f"{memory}/made")
    folder = storage.fetch(f"{memory}/made", SEAL)
    _flip_bit(folder / "weights.bin")
    again = storage.fetch(f"{memory}/made", SEAL)
    assert storage.verify(again, SEAL)["step"] == 7


def test_a_remote_manifest_is_written_last(memory, monkeypatch):
    """A reader that sees the manifest sees all files."""
    written = []
    memory_fs = type(fsspec.filesystem("memory"))
    put_file = memory_fs.put_file

    def record(self, local, remote, **options):
        written.append(remote.rsplit("/", 1)[-1])
        return put_file(self, local, remote, **options)

    monkeypatch.setattr(memory_fs, "put_file", record)
    _build(f"{memory}/made")
    assert sorted(written[:-1]) == ["notes.txt", "weights.bin"]
    assert written[-1] == SEAL
