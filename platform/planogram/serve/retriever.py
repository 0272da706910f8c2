"""The retriever: a replica that finds products by text, likeness, and what shoppers take."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from planogram.serve.blend import NEXT_ITEM
from planogram.serve.index.build import built_folder, index_folder
from planogram.serve.index.encoder import ProductEncoder
from planogram.serve.index.search import ProductIndex
from planogram.serve.logs import configure_logging
from planogram.serve.ranker import replica_cpus
from planogram.serve.sequencer import Sequencer
from planogram.serve.settings import RetrieverArgs
from planogram.serve.values import Filters, ModelInfo, Retrieved

logger = logging.getLogger(__name__)


class Retriever:
    """A Ray Serve deployment over one product index.

    Where the shop is prepared anew and its index made (`planogram index`), the new one takes over between two queries.

    Args:
        shop: folder or URI of a prepared shop.
        args: of the index.
        sequencer: the bundle of a sequence model; None: there is none.

    Raises:
        StorageError, DataError: the shop cannot be read; the replica does not start.
        IntegrityError: the sequencer's bundle does not verify; the replica does not start.
    """

    def __init__(self, shop: str, args: RetrieverArgs, sequencer: ModelInfo | None = None) -> None:
        configure_logging()
        self._shop = shop
        self._args = args
        # The replica's event loop also answers health checks: it must not wait for the disk.
        self._threads = ThreadPoolExecutor(1, "retriever")
        # Searches do not wait for the model.
        self._device = ThreadPoolExecutor(1, "sequencer")
        self._sequencer = self._device.submit(self._load, sequencer.path).result() if sequencer else None
        self._index: ProductIndex = self._threads.submit(self._open).result()
        # Kept, since the loop itself holds its tasks weakly.
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def search(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:
        """The best products for a query, best first."""
        return await self._run(lambda index: index.search(query, filters, limit, facets))

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids, in the order given."""
        return await self._run(lambda index: index.lookup(product_ids, filters))

    async def similar(self, product_id: str, filters: Filters, limit: int) -> Retrieved:
        """The products most like one."""
        return await self._run(lambda index: index.similar(product_id, filters, limit))

    async def popular(self, filters: Filters, limit: int) -> Retrieved:
        """The products that most shoppers take."""
        return await self._run(lambda index: index.popular(filters, limit))

    async def recommend(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int
    ) -> Retrieved:
        """What shoppers take beside the products of a history."""
        return await self._run(lambda index: index.recommend(history, exclude, filters, limit))

    async def next_items(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int
    ) -> Retrieved:
        """What the sequencer says that comes next, with its `next_item`, the likeliest first."""
        ranked = await self._rank(history, exclude)
        found = await self._run(lambda index: index.first(list(ranked), filters, limit))
        return Retrieved([{**product, NEXT_ITEM: ranked[product["product_id"]]} for product in found])

    async def history(self, user_id: str) -> list[str]:
        """What a shopper bought, oldest first."""
        return await self._run(lambda index: index.history(user_id))

    async def change(self, products: Sequence[dict[str, Any]], deleted: Sequence[str]) -> str:
        """Add or replace products, take others out; returns the version of the catalogue afterwards."""
        return await self._run(lambda index: index.change(products, deleted))

    async def version(self) -> str:
        """Of the catalogue: changes with every change of a product."""
        return await self._run(lambda index: index.version)

    async def check_health(self) -> None:
        """Search and rank: Ray Serve replaces the replica when this fails or takes too long."""
        await self._run(lambda index: index.search("health", Filters(), 1))
        if self._sequencer is not None:
            await self._rank(self._sequencer.known, ())

    async def _rank(self, history: Sequence[str], exclude: Sequence[str]) -> dict[str, float]:
        assert self._sequencer is not None
        return await asyncio.get_running_loop().run_in_executor(self._device, self._sequencer.rank, history, exclude)

    def _load(self, uri: str) -> Sequencer:
        return Sequencer(uri, self._args.threads or replica_cpus())

    async def _run(self, ask: Callable[[ProductIndex], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: ask(self._index))

    def _open(self) -> ProductIndex:
        args = self._args
        threads = args.threads or replica_cpus()
        self._encoder = ProductEncoder(args.encoder, args.encoder_engine, threads) if args.encoder else None
        return ProductIndex(index_folder(self._shop, args, self._encoder), args, self._encoder)

    async def _follow(self) -> None:
        """Open the index of the shop as it is now, once it is made."""
        problem = ""
        while True:
            await asyncio.sleep(self._args.refresh_s)
            try:
                await asyncio.to_thread(self._renew)
                problem = ""
            except Exception as error:
                # Once, and not at every look.
                if str(error) != problem:
                    logger.exception("the shop's new index cannot be opened; the old one stays")
                problem = str(error)

    def _renew(self) -> None:
        folder = built_folder(self._shop, self._args, self._encoder)
        if folder is not None and folder != self._index.folder:
            self._index = ProductIndex(folder, self._args, self._encoder)
            logger.info("serving the index %s", folder.name)
