"""One check for all who ask at once: probes need no key, and each check costs an inference."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


def shared(check: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Awaitable[None]]:
    """The same check; who asks while it runs gets its result. It goes on when one of them leaves."""
    running: asyncio.Task[None] | None = None

    async def ask() -> None:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(check())
        await asyncio.shield(running)

    return ask
