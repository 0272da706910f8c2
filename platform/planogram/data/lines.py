"""Bytes into lines of text: bounded length, split at line feeds alone, and no line lost to a bad byte."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass

from planogram.data.streams import DamagedError

MAX_LINE_BYTES = 1 << 20
EXCERPT_CHARACTERS = 1000
# A line feed byte may be part of another character or an escape sequence in these.
_STATEFUL = ("utf-7", "utf7", "hz", "iso2022", "iso-2022", "iso_2022")


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that cannot be read.

    Attributes:
        reason: why.
        text: what it begins with.
        damaged: the file itself is damaged here: nothing follows.
    """

    reason: str
    text: str = ""
    damaged: bool = False


Line = str | BrokenLine


def decode_lines(chunks: Iterator[bytes], encoding: str) -> Iterator[Line]:
    """Decode a stream line by line; line feeds stay at the ends.

    A line longer than `MAX_LINE_BYTES`, bytes that are not of the encoding, and NUL characters give a `BrokenLine`.
    Damage of the stream gives a last one that also holds the unfinished line. Memory is bounded whatever comes.

    Args:
        chunks: bytes, at most `CHUNK_BYTES` of `streams` at a time; may raise DamagedError.
        encoding: a Python name.
    """
    if _needs_transcoding(encoding):
        yield from _lines(_transcoded(chunks, encoding), _Decoder("utf-8", encoding, refuse="\ufffd"))
    else:
        yield from _lines(chunks, _Decoder(encoding, encoding, refuse=""))


def _needs_transcoding(encoding: str) -> bool:
    name = encoding.lower()
    return "\n".encode(encoding) != b"\n" or name.startswith(_STATEFUL)


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode(errors="replace")
    yield decoder.decode(b"", final=True).encode(errors="replace")


def _lines(chunks: Iterator[bytes], decoder: "_Decoder") -> Iterator[Line]:
    rest, skipped = b"", 0
    try:
        for chunk in chunks:
            first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
            length = skipped + len(rest) + (len(chunk) if first < 0 else first)
            if length > MAX_LINE_BYTES:
                # Only the beginning is kept while the rest of the line is thrown away.
                rest = (rest + chunk[:EXCERPT_CHARACTERS])[:EXCERPT_CHARACTERS]
                skipped = length - len(rest)
                if first < 0:
                    continue
                yield _too_long(rest, length)
                yield from decoder.lines(chunk[first + 1 : last + 1])
                rest, skipped = chunk[last + 1 :], 0
            elif last >= 0:
                yield from decoder.lines(rest + chunk[: last + 1])
                rest = chunk[last + 1 :]
            else:
                rest += chunk
    except DamagedError as damage:
        yield BrokenLine(f"damaged file: {damage.given}", decoder.excerpt(rest), damaged=True)
        return
    if skipped:
        yield _too_long(rest, skipped + len(rest))
    elif rest:
        yield from decoder.lines(rest)


def _too_long(head: bytes, length: int) -> BrokenLine:
    text = head.decode(errors="backslashreplace")
    return BrokenLine(f"the line is longer than {MAX_LINE_BYTES:,} bytes", f"{text}… ({length:,} bytes)")


class _Decoder:
    """Decodes whole blocks of lines at once, and line by line only where a block has something wrong."""

    def __init__(self, encoding: str, shown: str, refuse: str) -> None:
        self.encoding = encoding
        self.reason = f"bytes that are not valid {shown}"
        self.refuse = refuse
        self.at_start = True

    def excerpt(self, data: bytes) -> str:
        return data[:EXCERPT_CHARACTERS].decode(self.encoding, errors="backslashreplace")

    def lines(self, block: bytes) -> Iterator[Line]:
        if self.at_start:
            self.at_start = False
            block = block.removeprefix(codecs.BOM_UTF8) if self.encoding.lower() in ("utf-8", "utf8") else block
        try:
            text = block.decode(self.encoding)
        except UnicodeDecodeError:
            return self._one_by_one(block)
        if "\0" in text or (self.refuse and self.refuse in text):
            return self._one_by_one(block)
        return io.StringIO(text, newline="\n")

    def _one_by_one(self, block: bytes) -> Iterator[Line]:
        for raw in io.BytesIO(block):
            try:
                text = raw.decode(self.encoding)
            except UnicodeDecodeError:
                yield BrokenLine(self.reason, self.excerpt(raw))
                continue
            if "\0" in text:
                yield BrokenLine("a NUL character", text[:EXCERPT_CHARACTERS])
            elif self.refuse and self.refuse in text:
                yield BrokenLine(self.reason, text[:EXCERPT_CHARACTERS])
            else:
                yield text
