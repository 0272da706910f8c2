"""A second replica is asked where the first one dies or hangs."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from planogram.serve.values import UnavailableError

T = TypeVar("T")


async def hedged(attempt: Callable[[], Coroutine[Any, Any, T]], patience_s: float) -> T:
    """The first answer of at most two attempts; what it takes must have no effects.

    The second begins when the first has died, or has taken so long that its replica may hang. The first goes on, and so
    its replica counts as busy and the second is sent elsewhere.

    Args:
        attempt: begins one.
        patience_s: until the second; longer than an answer usually takes, or the work would be done twice.

    Raises:
        Exception: what the last attempt raised.

    Source: J. Dean and L. A. Barroso 2013, The tail at scale (hedged requests).
    """
    attempts = [asyncio.ensure_future(attempt())]
    try:
        await asyncio.wait(attempts, timeout=patience_s)
        waiting = [each for each in attempts if not each.done()]
        if waiting or isinstance(attempts[0].exception(), UnavailableError):
            waiting.append(asyncio.ensure_future(attempt()))
            attempts.append(waiting[-1])
        return await _first_answer(waiting) if waiting else attempts[0].result()
    finally:
        for each in attempts:
            each.cancel()
            # Else asyncio reports an error that nobody waits for any more.
            each.add_done_callback(lambda done: done.cancelled() or done.exception())


async def _first_answer(attempts: Iterable["asyncio.Future[T]"]) -> T:
    """The first result, or the last exception where there is none."""
    while True:
        done, attempts = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
        answered = [each for each in done if each.exception() is None]
        if answered or not attempts:
            return (answered or list(done))[0].result()
