"""What was computed before: in this process, or in a Redis that all replicas share.

A key holds all that its value depends on, so nothing has to be thrown away when a model or the catalogue changes: the
old keys are asked for no more, and age out.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

from cachetools import LRUCache

from planogram.errors import ConfigError

logger = logging.getLogger(__name__)

MIB = 2**20
#: what an entry costs beside its bytes: the objects and their places in two dictionaries
ENTRY_BYTES = 200
REDIS_TIMEOUT_S = 0.1
#: a Redis that failed is left alone for so long
REDIS_PAUSE_S = 5.0
PREFIX = b"planogram/"


def key_of(*parts: str) -> bytes:
    """16 bytes that differ where any part does.

    Args:
        parts: all that a value depends on.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part.encode(errors="surrogatepass")
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.digest()


class Cache(Protocol):
    """Bytes by key. For any thread."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of the keys; None where there is none."""
        ...

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; the oldest ones go when there is no more room."""
        ...


class LocalCache:
    """In this process; what was not asked for longest goes first.

    Args:
        max_bytes: of all values and what it takes to keep them.
        ttl_s: how long a value is good for.
        clock: seconds.
    """

    def __init__(self, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._values: LRUCache[bytes, tuple[float, bytes]] = LRUCache(max_bytes, lambda v: len(v[1]) + ENTRY_BYTES)
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = Lock()

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values that are still good."""
        now = self._clock()
        with self._lock:
            found = [self._values.get(key) for key in keys]
        return [entry[1] if entry and entry[0] > now else None for entry in found]

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; one that is larger than all the room is left out."""
        end = self._clock() + self._ttl_s
        with self._lock:
            for key, value in values.items():
                if len(value) + ENTRY_BYTES <= self._values.maxsize:
                    self._values[key] = (end, value)


class RedisCache:
    """In a Redis that replicas and machines share. While it does not answer, nothing is found, and the log says so.

    Args:
        url: redis://, rediss:// or unix://.
        ttl_s: how long a value is good for.
        clock: seconds.

    Raises:
        ConfigError: the URL is none of Redis.
    """

    def __init__(self, url: str, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        if urlsplit(url).scheme not in ("redis", "rediss", "unix"):
            raise ConfigError("the cache's URL is none of Redis", allowed="redis://, rediss://, unix://")
        try:
            import redis
        except ImportError as error:
            raise ConfigError("there is no package `redis`", remedy="pip install 'planogram[redis]'") from error
        self._error = redis.RedisError
        self._client = redis.Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
        self._ttl_ms = max(1, int(1000 * ttl_s))
        self._clock = clock
        self._resume_s = 0.0

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values that are still good."""
        found = self._asked(lambda: self._client.mget([PREFIX + key for key in keys])) if keys else []
        return list(found) if found else [None] * len(keys)

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values."""
        with self._client.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(PREFIX + key, value, px=self._ttl_ms)
            self._asked(pipeline.execute)

    def _asked(self, ask: Callable[[], list[Any]]) -> list[Any] | None:
        if self._clock() < self._resume_s:
            return None
        try:
            return ask()
        except self._error as error:
            self._resume_s = self._clock() + REDIS_PAUSE_S
            logger.warning(
                "the cache in Redis does not answer, nothing is taken from it for %g s: %s",
                REDIS_PAUSE_S,
                type(error).__name__,
            )
            return None


def open_cache(max_mb: int, ttl_s: float, redis_url: str | None) -> Cache | None:
    """A cache; None where there is no room for one.

    Args:
        max_mb: in this process, in MiB; 0: none.
        ttl_s: how long a value is good for.
        redis_url: absent: in this process.

    Raises:
        ConfigError: the URL is none of Redis.
    """
    if max_mb == 0:
        return None
    return RedisCache(redis_url, ttl_s) if redis_url else LocalCache(max_mb * MIB, ttl_s)
