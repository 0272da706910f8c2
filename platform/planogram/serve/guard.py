"""The outermost layer of the application: limits while a request is read, its time limit, its id, and its log line."""

import asyncio
import json
import logging
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planogram.errors import PlanogramError, RequestError, TooLargeError
from planogram.serve.backend import LateError
from planogram.serve.call import Call
from planogram.serve.logs import log_request
from planogram.serve.problems import INTERNAL, MalformedError, MediaTypeError, Problem, SlowError, problem_of
from planogram.serve.settings import Limits

logger = logging.getLogger(__name__)

BODY_METHODS = ("POST", "PUT", "PATCH")
CLIENT_CLOSED = 499
# Escapes of the halves of a pair: two of them may be one character, one alone is none.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class _ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


class _Reply:
    """Sends on with the times of the answer's stages, and remembers the status."""

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            if timing := self._call.server_timing:
                MutableHeaders(scope=message)["Server-Timing"] = timing
        await self._send(message)


class Guard:
    """ASGI middleware around the routes.

    Args:
        app: the routes.
        limits: what one request may cost.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; no error of it leaves this method."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = Call.begin(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["call"] = call
        reply = _Reply(send, call)
        status = CLIENT_CLOSED
        try:
            problem = await self._answer(scope, receive, reply, call)
            if problem and reply.status is None:
                await problem.response(call)(scope, receive, reply)
            status = reply.status or CLIENT_CLOSED
        finally:
            log_request(call, scope, status)

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply, call: Call) -> Problem | None:
        reading = True
        try:
            async with asyncio.timeout(self.limits.request_timeout_s) as limit:
                receive = await self._checked(scope, receive)
                reading = False
                await self.app(scope, receive, reply)
        except _ClientGoneError:
            return None
        except PlanogramError as error:
            return self._logged(error, call)
        except Exception as error:
            if limit.expired():
                return problem_of(_too_late(reading, self.limits.request_timeout_s))
            return self._logged(error, call)
        return None

    def _logged(self, error: Exception, call: Call) -> Problem:
        problem = problem_of(error)
        if problem is INTERNAL:
            logger.error("request failed", exc_info=error, extra={"request_id": call.request_id})
        return problem

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        if scope["method"] not in BODY_METHODS:
            return receive
        headers = Headers(scope=scope)
        body = await read_body(receive, headers.get("content-length"), self.limits.body_bytes)
        if body:
            check_media_type(headers.get("content-type", ""))
            check_json(body, self.limits.json_depth)
        return _replay(body, receive)


def _too_late(reading: bool, timeout_s: float) -> RequestError:
    if reading:
        return SlowError(f"the body did not arrive within {timeout_s:g} s", remedy="send it at once")
    return LateError(f"no answer within {timeout_s:g} s", remedy="send fewer or shorter documents, or try again later")


async def read_body(receive: Receive, content_length: str | None, limit: int) -> bytes:
    """Read a body, counting while it comes: the header may be absent or wrong.

    Raises:
        TooLargeError: it is longer than `limit` bytes; the rest is not read.
    """
    too_large = TooLargeError(
        f"the body is longer than {limit} bytes", remedy="send fewer or shorter documents in one request"
    )
    if content_length is not None and content_length.isdecimal() and int(content_length[:20]) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def check_media_type(content_type: str) -> None:
    """Refuse a body that is not said to be JSON.

    Raises:
        MediaTypeError: it is not.
    """
    essence = content_type.partition(";")[0].strip().lower()
    if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
        raise MediaTypeError("Content-Type is not JSON", allowed="application/json", remedy="set the header")


def check_json(body: bytes, max_depth: int) -> None:
    """Refuse what is not JSON in UTF-8, nests too deep, or holds NaN, infinity, or half a character.

    Raises:
        MalformedError: it is not such JSON.
        RequestError: it nests deeper than `max_depth`.
    """
    too_deep = RequestError("the body nests too deep", allowed=f"at most {max_depth} levels", remedy="flatten it")
    try:
        # Decoded here: json.loads would also take UTF-16, and bytes that are not UTF-8.
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
        if SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedError("a text holds half of a surrogate pair", allowed="whole characters") from None
    except RecursionError:
        raise too_deep from None
    except ValueError as error:
        reason = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "not decodable"
        raise MalformedError(f"the body is not valid JSON: {reason}", allowed="UTF-8 JSON") from None
    level = [value]
    for _ in range(max_depth):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise too_deep


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _refuse_constant(name: str) -> None:
    raise MalformedError(f"the body holds {name}", allowed="finite numbers")


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once and then what comes after it."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
