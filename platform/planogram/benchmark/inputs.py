"""Hostile requests: bodies that a server's OpenAPI document allows, the same ones broken, and bytes that are no HTTP.

A seed fixes all of them.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

Json = Any
Schema = Mapping[str, Any]
MAX_DEPTH = 6
MAX_ITEMS = 4
MAX_CHARS = 40
TEXTS = (
    "red",
    "p-1",
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "'; DROP TABLE products; --",
    "((((",
    "\\",
    "${jndi:x}",
    "é" * 30,
)
ODD: tuple[Json, ...] = (
    *(None, True, -1, 0, 1e308, -1e308, 2**63, 10**400, float("nan"), float("inf"), "\ud800", "x" * 5000, [], {}),
    *([[[[]]]], [None] * 50, {"": {"": {}}}, ["a", 1, {}]),
)
METHODS = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")
MEDIA = ("text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "/;=", "")
#: a request line or headers that no server should take
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: \x00\xff\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    b"GET  /healthz\r\n\r\n",
    b"\r\n" * 100,
)


@dataclass(frozen=True)
class Inputs:
    """Draws requests to one server.

    Attributes:
        url: of the server.
        document: its OpenAPI document.
        raw_share: of inputs that are no HTTP.
        key: API key of the others; empty: none.
    """

    url: str
    document: Schema
    raw_share: float
    key: str = field(default="", repr=False)

    def draw(self, chance: random.Random) -> bytes:
        """The bytes of a request, or of what is none."""
        if chance.random() < self.raw_share:
            return garbage(chance)
        path, schema = chance.choice(self._bodies())
        body = drawn(schema, self.document, chance)
        kind = chance.choice((_fitting, _broken, _broken, _cut, _random, _deep, _elsewhere))
        return presenting(self.key, kind(self.url, path, body, chance))

    def _bodies(self) -> list[tuple[str, Schema]]:
        """(path, schema) of every POST."""
        return [
            (path, item["post"]["requestBody"]["content"]["application/json"]["schema"])
            for path, item in self.document["paths"].items()
            if "post" in item
        ]


def drawn(schema: Schema, document: Schema, chance: random.Random, depth: int = 0) -> Json:
    """A value that fits a JSON schema, as far as types, bounds and lengths go; patterns are passed over."""
    if "$ref" in schema:
        return drawn(_referred(schema["$ref"], document), document, chance, depth)
    if options := schema.get("oneOf") or (schema.get("anyOf") if "type" not in schema else None):
        return drawn(chance.choice(options), document, chance, depth)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else chance.choice(schema["enum"])
    return DRAW.get(schema.get("type", ""), _nothing)(schema, document, chance, depth)


def _referred(reference: str, document: Schema) -> Schema:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _object(schema: Schema, document: Schema, chance: random.Random, depth: int) -> Json:
    fields = schema.get("properties", {})
    # One of the sets of fields that belong together, where the schema has some.
    together = chance.choice(schema.get("anyOf", [{}])).get("required", ())
    needed = {*schema.get("required", ()), *together}
    chosen = [name for name in fields if name in needed or (depth < MAX_DEPTH and chance.random() < 0.3)]
    return {name: drawn(fields[name], document, chance, depth + 1) for name in chosen}


def _array(schema: Schema, document: Schema, chance: random.Random, depth: int) -> Json:
    low = schema.get("minItems", 0)
    size = chance.randint(low, max(low, min(MAX_ITEMS, schema.get("maxItems", MAX_ITEMS))))
    return [drawn(schema.get("items", {}), document, chance, depth + 1) for _ in range(size)]


def _string(schema: Schema, _document: Schema, chance: random.Random, _depth: int) -> Json:
    low, high = schema.get("minLength", 0), schema.get("maxLength", MAX_CHARS)
    return (chance.choice(TEXTS) + "a" * low)[: min(high, MAX_CHARS)]


def _integer(schema: Schema, _document: Schema, chance: random.Random, _depth: int) -> Json:
    low = schema.get("minimum", 0)
    return chance.randint(low, schema.get("maximum", low + 1000))


def _number(schema: Schema, _document: Schema, chance: random.Random, _depth: int) -> Json:
    low = schema.get("minimum", 0.0)
    return chance.uniform(low, schema.get("maximum", low + 1000.0))


def _boolean(_schema: Schema, _document: Schema, chance: random.Random, _depth: int) -> Json:
    return chance.random() < 0.5


def _nothing(_schema: Schema, _document: Schema, _chance: random.Random, _depth: int) -> Json:
    return None


DRAW: dict[str, Callable[[Schema, Schema, random.Random, int], Json]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}


def request(url: str, path: str, body: bytes, method: str = "POST", media: str = "application/json") -> bytes:
    """The bytes of a request whose connection ends with its answer."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nConnection: close\r\n"
    return f"{head}Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def presenting(key: str, payload: bytes) -> bytes:
    """A request that brings an API key, if there is one."""
    return payload.replace(b"\r\n", f"\r\nX-API-Key: {key}\r\n".encode(), 1) if key else payload


def broken(body: Json, chance: random.Random) -> Json:
    """A body with one thing changed: a field of another kind, an unknown field, or nothing of it left."""
    odd = chance.choice(ODD)
    if not isinstance(body, dict) or not body or chance.random() < 0.1:
        return odd
    name = chance.choice([*body, "unknown"])
    if isinstance(body.get(name), dict) and chance.random() < 0.5:
        return {**body, name: broken(body[name], chance)}
    return {**body, name: odd}


def garbage(chance: random.Random) -> bytes:
    """What is no request."""
    return chance.choice((*GARBAGE, chance.randbytes(chance.randint(1, 2000))))


def _encoded(body: Json) -> bytes:
    return json.dumps(body).encode()


def _fitting(url: str, path: str, body: Json, _chance: random.Random) -> bytes:
    return request(url, path, _encoded(body))


def _broken(url: str, path: str, body: Json, chance: random.Random) -> bytes:
    return request(url, path, _encoded(broken(body, chance)))


def _cut(url: str, path: str, body: Json, chance: random.Random) -> bytes:
    content = _encoded(body)
    return request(url, path, content[: chance.randint(0, len(content))])


def _random(url: str, path: str, _body: Json, chance: random.Random) -> bytes:
    return request(
        url, path, chance.randbytes(chance.randint(0, 200)), media=chance.choice(("application/json", *MEDIA))
    )


def _deep(url: str, path: str, body: Json, chance: random.Random) -> bytes:
    levels = chance.choice((10, 30, 3000, 100_000))
    return request(url, path, b"[" * levels + _encoded(body) + b"]" * levels)


def _elsewhere(url: str, path: str, body: Json, chance: random.Random) -> bytes:
    """Another method, or a path that is not there."""
    odd = "/" + quote(chance.choice(TEXTS)) + quote(chance.randbytes(8))
    return request(url, chance.choice((path, odd)), _encoded(body), chance.choice((*METHODS, "POST")))
