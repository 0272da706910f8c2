"""Bytes into lines: no line is lost, whatever the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.data.lines import MAX_LINE_BYTES, BrokenLine, decode_lines
from planogram.data.streams import DamagedError


def lines(*chunks: bytes, encoding: str = "utf-8") -> list[str | BrokenLine]:
    return list(decode_lines(iter(chunks), encoding))


def test_only_line_feeds_split():
    text = "a\u2028b\u0085c\x0bd\re\n\x1cf\n"
    assert lines(text.encode()) == ["a\u2028b\u0085c\x0bd\re\n", "\x1cf\n"]


def test_no_line_feed_at_the_end():
    assert lines(b"a\nb") == ["a\n", "b"]


def test_a_byte_order_mark_goes_only_at_the_start():
    assert lines(b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfb\n") == ["a\n", "\ufeffb\n"]


@given(st.lists(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]))), st.data())
def test_chunks_do_not_matter(texts, data):
    content = "".join(f"{text}\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    expected = [f"{text}\n" for text in texts]
    if expected:
        expected[0] = expected[0].removeprefix("\ufeff")
    assert lines(*chunks) == expected


def test_bytes_that_do_not_decode_break_one_line():
    first, broken, last = lines(b"a\n\xff\xfeb\nc\n")
    assert (first, last) == ("a\n", "c\n")
    assert broken == BrokenLine("bytes that are not valid utf-8", "\\xff\\xfeb\n")


def test_nul_characters_break_one_line():
    assert lines(b"a\nb\0\nc\n")[1] == BrokenLine("a NUL character", "b\0\n")


@pytest.mark.parametrize("encoding", ["gb18030", "cp1252", "shift_jis", "utf-16", "utf-16-le", "utf-32", "iso2022_jp"])
def test_encodings(encoding):
    text = "abc\ndéf\n" if encoding == "cp1252" else "abc\n漢字\n"
    content = text.encode(encoding)
    assert lines(*(content[i : i + 1] for i in range(len(content))), encoding=encoding) == text.splitlines(True)


def test_broken_utf_16_breaks_one_line():
    content = "a\n".encode("utf-16-le") + b"\x00\xd8x\x00" + "\nb\n".encode("utf-16-le")
    first, broken, last = lines(content, encoding="utf-16-le")
    assert (first, last) == ("a\n", "b\n")
    assert broken.reason == "bytes that are not valid utf-16-le"


@pytest.mark.parametrize("chunk_bytes", [4096, 1 << 18])
def test_an_overlong_line_is_one_broken_line(chunk_bytes):
    content = b"a\n" + b"x" * (5 << 20) + b"\nb\nc"
    chunks = [content[i : i + chunk_bytes] for i in range(0, len(content), chunk_bytes)]
    first, broken, *rest = lines(*chunks)
    assert (first, rest) == ("a\n", ["b\n", "c"])
    assert "longer than 1,048,576 bytes" in broken.reason
    assert "(5,242,880 bytes)" in broken.text
    assert len(broken.text) < 2000


def test_an_overlong_last_line_without_line_feed():
    *_, broken = lines(b"a\n", b"x" * (2 * MAX_LINE_BYTES))
    assert "longer than" in broken.reason


def test_an_endless_line_takes_no_memory():
    import tracemalloc

    tracemalloc.start()
    chunk = b"x" * (1 << 18)
    assert len(lines(*(chunk for _ in range(0)))) == 0
    [broken] = decode_lines((chunk for _ in range(400)), "utf-8")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "(104,857,600 bytes)" in broken.text
    assert peak < 8 << 20


def test_damage_is_the_last_line_and_holds_the_unfinished_one():
    def damaged():
        yield b"a\nb"
        raise DamagedError("the file ends early")

    assert list(decode_lines(damaged(), "utf-8")) == [
        "a\n",
        BrokenLine("damaged file: the file ends early", "b", damaged=True),
    ]
