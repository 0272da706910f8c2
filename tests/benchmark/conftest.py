"""A tiny HTTP server on a thread, whose answers a test decides."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

Reply = Callable[[bytes], Awaitable[bytes | None]]


def response(status=200, body=b"{}", **headers) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def ranking(scores) -> bytes:
    return json.dumps({"results": [{"index": i, "relevance_score": s} for i, s in enumerate(scores)][::-1]}).encode()


@dataclass
class Stub:
    """Answers every request with what `reply` gives for its body; None closes the connection."""

    reply: Reply | None = None
    url: str = ""
    connections: int = 0
    busy: int = 0
    most_busy: int = 0
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the client goes, which is how each test ends
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                self.bodies.append(body)
                self.busy += 1
                self.most_busy = max(self.most_busy, self.busy)
                answer = await self.reply(body) if self.reply else response()
                self.busy -= 1
                if answer is None:
                    break
                writer.write(answer)
        writer.close()

    async def run(self, ready: threading.Event, stopped: asyncio.Event) -> None:
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await stopped.wait()
        listening.close()


@contextmanager
def answering() -> Iterator[Stub]:
    """A server, as long as it is asked for."""
    server, ready, stopped = Stub(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=lambda: loop).run(server.run(ready, stopped)))
    thread.start()
    assert ready.wait(20)
    yield server
    loop.call_soon_threadsafe(stopped.set)
    thread.join(20)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with answering() as server:
        yield server
