"""The body of a request, checked while it is read: its length, its media type, and that it is plain JSON."""

import json
import math
import re
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from planogram.errors import RequestError, TooLargeError
from planogram.serve.problems import MalformedError, MediaTypeError
from planogram.serve.settings import Limits

BODY_METHODS = ("POST", "PUT", "PATCH")
# Escapes of the halves of a pair: two of them may be one character, one alone is none.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


async def checked(scope: Scope, receive: Receive, limits: Limits) -> Receive:
    """Read a request's body, if it has one, and return a `receive` that gives it once more.

    Raises:
        TooLargeError, MediaTypeError, MalformedError, RequestError: the body is refused.
        ClientGoneError: there is nobody left to answer.
    """
    if scope["method"] not in BODY_METHODS:
        return receive
    headers = Headers(scope=scope)
    body = await read_body(receive, headers.get("content-length"), limits.body_bytes)
    if body:
        check_media_type(headers.get("content-type", ""))
        check_json(body, limits.json_depth)
    return _replay(body, receive)


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
            raise ClientGoneError
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
        value = json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_finite)
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


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise MalformedError("the body holds a number beyond all floats", allowed="finite numbers")
    return value


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
