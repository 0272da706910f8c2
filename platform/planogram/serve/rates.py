"""How often a key may ask: a token bucket per key, in the memory of one gateway replica."""

import math
from collections.abc import Callable

from planogram.serve.keys import Key
from planogram.serve.settings import AuthArgs

# Sums of many small shares of a token miss the whole by less than this.
ROUNDING = 1e-6
# In seconds, from any moment on.
Clock = Callable[[], float]


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate_per_s` of them; a request takes one.

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

    def take(self) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_s) * self.rate_per_s)
        self._filled_s = now
        if self._tokens < 1 - ROUNDING:
            return (1 - self._tokens) / self.rate_per_s
        self._tokens = max(0.0, self._tokens - 1)
        return 0.0


class RateLimits:
    """A bucket for every key that has a limit.

    Args:
        args: the limit of keys without one of their own.
        clock: seconds.
    """

    def __init__(self, args: AuthArgs, clock: Clock) -> None:
        self._args = args
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, key: Key) -> int:
        """Count a request. Returns 0 where it may pass, else the whole seconds after which to come again."""
        rate = key.requests_per_s or self._args.requests_per_s
        if rate is None:
            return 0
        burst = key.burst or self._args.burst or max(1, math.ceil(rate))
        bucket = self._buckets.get(key.name)
        # A key's limits may change while the server runs.
        if bucket is None or (bucket.rate_per_s, bucket.burst) != (rate, burst):
            bucket = self._buckets[key.name] = TokenBucket(rate, burst, self._clock)
        return math.ceil(bucket.take())
