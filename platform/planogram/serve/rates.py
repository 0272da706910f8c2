"""How often a key may ask, and how much: token buckets per key, in the memory of one gateway replica."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from planogram.serve import metrics
from planogram.serve.keys import Key
from planogram.serve.problems import RateLimitedError
from planogram.serve.settings import AuthArgs

# Sums of many small shares of a token miss the whole by less than this.
ROUNDING = 1e-6
# In seconds, from any moment on.
Clock = Callable[[], float]


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate_per_s` of them.

    Args:
        rate_per_s: tokens gained in a second.
        burst: tokens that it begins with, and the most that it holds.
        clock: seconds.
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Clock) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_s = clock()

    def take(self, count: int = 1) -> float:
        """Take tokens and return 0 where there is one at least, else take none and return the seconds until there is.

        Args:
            count: where there are fewer the rest is owed, so that what takes more than a burst may pass as well.
        """
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_s) * self.rate_per_s)
        self._filled_s = now
        if self._tokens < 1 - ROUNDING:
            return (1 - self._tokens) / self.rate_per_s
        self._tokens -= count
        return 0.0


@dataclass(frozen=True)
class Budget:
    """What one key may still have ranked and embedded.

    Attributes:
        key: its name.
    """

    key: str
    bucket: TokenBucket

    def take(self, documents: int) -> None:
        """Count documents, before they are ranked or embedded.

        Raises:
            RateLimitedError: the key has had too many.
        """
        if wait_s := math.ceil(self.bucket.take(documents)):
            metrics.add(metrics.RATE_LIMITED, key=self.key)
            raise RateLimitedError("the key has had too many documents ranked or embedded", retry_after_s=wait_s)


class RateLimits:
    """Buckets for every key that has limits.

    Args:
        args: the limit of keys without one of their own.
        clock: seconds.
    """

    def __init__(self, args: AuthArgs, clock: Clock) -> None:
        self._args = args
        self._clock = clock
        self._requests: dict[str, TokenBucket] = {}
        self._documents: dict[str, TokenBucket] = {}

    def take(self, key: Key) -> int:
        """Count a request. Returns 0 where it may pass, else the whole seconds after which to come again."""
        rate = key.requests_per_s or self._args.requests_per_s
        if rate is None:
            return 0
        burst = key.burst or self._args.burst or max(1, math.ceil(rate))
        return math.ceil(self._bucket(self._requests, key, rate, burst).take())

    def budget(self, key: Key) -> Budget | None:
        """What a key may have ranked; None: as much as it asks for."""
        rate = key.documents_per_s or self._args.documents_per_s
        if rate is None:
            return None
        return Budget(key.name, self._bucket(self._documents, key, rate, max(1, math.ceil(rate))))

    def _bucket(self, buckets: dict[str, TokenBucket], key: Key, rate: float, burst: int) -> TokenBucket:
        bucket = buckets.get(key.name)
        # A key's limits may change while the server runs.
        if bucket is None or (bucket.rate_per_s, bucket.burst) != (rate, burst):
            bucket = buckets[key.name] = TokenBucket(rate, burst, self._clock)
        return bucket
