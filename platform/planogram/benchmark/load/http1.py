"""HTTP/1.1 over a kept connection, and no more of it than a load generator needs.

A full client takes about a millisecond of CPU per request, which a server on the same cores would miss.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """A whole response.

    Attributes:
        headers: by their names in lower case.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class BadAnswerError(Exception):
    """What came is not HTTP."""


def post(url: str, path: str, body: bytes, key: str = "") -> bytes:
    """The bytes of a POST of JSON, with an API key where there is one; made once and sent often."""
    presented = f"X-API-Key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n{presented}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One connection, opened when it is needed and again when the server has closed it.

    Args:
        url: `http://host:port`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: bytes) -> Answer:
        """Send a request and read its answer.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection broke.
            BadAnswerError: the answer is not HTTP.
        """
        done = False
        try:
            reader, writer = await self._opened()
            writer.write(request)
            answer = await _read(reader)
            done = answer.headers.get("connection", "").lower() != "close"
        finally:
            # After an error, or a client's patience, the rest of an answer may still come: not on this one.
            if not done:
                self.close()
        return answer

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof() or self._writer.is_closing():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(*self._address, limit=MAX_HEAD_BYTES)
        return self._reader, self._writer

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _read(reader: asyncio.StreamReader) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        status = int(first.split(" ", 2)[1])
    except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise BadAnswerError("the answer does not start like HTTP") from error
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, headers, await _chunks(reader))
    try:
        body = await reader.readexactly(int(headers["content-length"]))
    except (KeyError, ValueError) as error:
        raise BadAnswerError("the answer does not say its length") from error
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            parts.append((await reader.readexactly(size + 2))[:-2])
        except (ValueError, asyncio.LimitOverrunError) as error:
            raise BadAnswerError("a chunk does not say its length") from error
        if size == 0:
            return b"".join(parts)
