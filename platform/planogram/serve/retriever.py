"""The retriever: a replica that finds candidate products by text and filters."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from planogram.serve.backend import Filters, Retrieved
from planogram.serve.catalog import open_index
from planogram.serve.logs import configure_logging
from planogram.serve.settings import RetrieverArgs


class Retriever:
    """A Ray Serve deployment over one product index.

    Args:
        shop: folder or URI of a prepared shop.
        args: of the index.

    Raises:
        StorageError, DataError: the shop cannot be read; the replica does not start.
    """

    def __init__(self, shop: str, args: RetrieverArgs) -> None:
        configure_logging()
        self._index = open_index(shop, args)
        # The replica's event loop also answers health checks: it must not wait for the disk.
        self._threads = ThreadPoolExecutor(1, "retriever")

    async def search(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:  # noqa: ARG002
        """The best products for a query, best first."""
        return Retrieved(await self._run(self._index.search, query, filters, limit))

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids, in the order given."""
        return await self._run(self._index.lookup, product_ids, filters)

    async def check_health(self) -> None:
        """Search: Ray Serve replaces the replica when this fails or takes too long."""
        await self._run(self._index.search, "health", Filters(), 1)

    async def _run(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
