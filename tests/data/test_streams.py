"""Archives and compressed files: everything before the damage is read, nothing beyond is guessed."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from planogram.data import streams
from planogram.data.streams import DamagedError, open_members

TEXT = b"".join(b"line %06d\n" % i for i in range(20_000))


def read(path: Path, pattern: str = "*") -> dict[str, bytes]:
    return {member.name: b"".join(member.chunks) for member in open_members(str(path), pattern)}


def read_until_damage(path: Path) -> tuple[bytes, str]:
    got = b""
    with pytest.raises(DamagedError) as caught:
        for member in open_members(str(path), "*"):
            for chunk in member.chunks:
                got += chunk
    return got, caught.value.given


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_plain_file(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    assert read(tmp_path / "a.csv") == {"": TEXT}


def test_gzip_of_several_members_and_padding(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]) + b"\0" * 512)
    assert read(tmp_path / "a.gz") == {"": TEXT}


def test_gzip_is_recognised_by_content(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(TEXT))
    assert read(tmp_path / "a.csv") == {"": TEXT}


@pytest.mark.parametrize("cut", [15, 1000, 20_000])
def test_truncated_gzip_gives_all_that_zlib_can_decode(tmp_path, cut):
    packed = gzip.compress(TEXT)
    (tmp_path / "a.gz").write_bytes(packed[:cut])
    got, reason = read_until_damage(tmp_path / "a.gz")
    assert TEXT.startswith(got)
    assert "ends early" in reason
    assert len(got) > cut or cut == 15


def test_gzip_without_its_checksum_still_gives_every_byte(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT)[:-8])
    assert read_until_damage(tmp_path / "a.gz")[0] == TEXT


def test_corrupt_gzip(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "a.gz").write_bytes(packed)
    assert "corrupt" in read_until_damage(tmp_path / "a.gz")[1]


@pytest.mark.parametrize("name", ["a.gz", "a.tgz", "a.zip"])
def test_a_name_that_lies_about_compression(tmp_path, name):
    (tmp_path / name).write_bytes(TEXT)
    assert "but it is not one" in read_until_damage(tmp_path / name)[1]


def test_gzip_bomb_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BOMB_FLOOR_BYTES", 1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(32 << 20)))
    got, reason = read_until_damage(tmp_path / "a.gz")
    assert "compression bomb" in reason
    assert len(got) < 32 << 20


def test_zip_bomb_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BOMB_FLOOR_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", bytes(8 << 20))
    assert read_until_damage(tmp_path / "a.zip") == (b"", read_until_damage(tmp_path / "a.zip")[1])
    assert "compression bomb" in read_until_damage(tmp_path / "a.zip")[1]


def test_zip_members_by_glob(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/b.csv", b"b")
        archive.writestr("a.csv", b"a")
        archive.writestr("readme.txt", b"no")
        archive.writestr("c.csv.gz", gzip.compress(b"c"))
    assert read(tmp_path / "a.zip", "*.csv*") == {"a.csv": b"a", "c.csv.gz": b"c", "x/b.csv": b"b"}


def test_zip_cut_short_has_no_directory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
    packed = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(packed[:-30])
    assert "not a readable zip archive" in read_until_damage(tmp_path / "a.zip")[1]


def test_zip_with_a_flipped_bit(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
    packed = bytearray((tmp_path / "a.zip").read_bytes())
    packed[len(packed) // 2] ^= 1
    (tmp_path / "a.zip").write_bytes(packed)
    assert "'a.csv' cannot be read" in read_until_damage(tmp_path / "a.zip")[1]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_members(tmp_path, mode):
    make_tar(tmp_path / "a.tar", {"d/a.csv": TEXT, "b.txt": b"no", "empty.csv": b""}, mode)
    assert read(tmp_path / "a.tar", "*.csv") == {"d/a.csv": TEXT, "empty.csv": b""}


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "x/../../a.csv"])
def test_archive_names_that_lead_out_are_refused(tmp_path, name):
    make_tar(tmp_path / "a.tgz", {name: b"x"})
    assert "leads out of the archive" in read_until_damage(tmp_path / "a.tgz")[1]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    assert "leads out of the archive" in read_until_damage(tmp_path / "a.zip")[1]


def test_tar_links_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("passwd.csv")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    assert read(tmp_path / "a.tar") == {}


def test_truncated_tar_gives_every_byte_before(tmp_path):
    make_tar(tmp_path / "a.tar", {"a.csv": TEXT}, "w")
    packed = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(packed[: 512 + 100_003])
    got, reason = read_until_damage(tmp_path / "a.tar")
    assert got == TEXT[:100_003]
    assert "misses its last" in reason


def test_truncated_tgz_names_the_cause(tmp_path):
    make_tar(tmp_path / "a.tgz", {"a.csv": TEXT})
    packed = (tmp_path / "a.tgz").read_bytes()
    (tmp_path / "a.tgz").write_bytes(packed[: len(packed) // 2])
    got, reason = read_until_damage(tmp_path / "a.tgz")
    assert TEXT.startswith(got)
    assert len(got) > 1000
    assert "ends early" in reason
