"""The replica itself, in a loop as Ray Serve has one, without Ray."""

import asyncio
import shutil

import pytest

from planogram.serve import retriever as module
from planogram.serve.index.run import run
from planogram.serve.retriever import Retriever
from planogram.serve.settings import IndexConfig, RetrieverArgs
from planogram.serve.values import Filters

OLD = [{"product_id": "a", "title": "red shoes"}, {"product_id": "b", "title": "lamp"}]
NEW = [*OLD, {"product_id": "c", "title": "violet boots"}]


@pytest.fixture
def args(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "replica_cpus", lambda: 1)
    return RetrieverArgs(folder=str(tmp_path / "indexes"), refresh_s=0.05)


async def found(retriever, query):
    return [product["product_id"] for product in (await retriever.search(query, Filters(), 10)).products]


async def until(condition):
    for _ in range(200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to be")


def test_a_new_index_takes_over_while_searches_go_on(args, tmp_path, write_shop):
    shop = write_shop(tmp_path / "shop", OLD)

    async def serve():
        retriever = Retriever(shop, args)
        before = await retriever.version()
        assert await found(retriever, "boots") == []
        shutil.rmtree(shop)
        write_shop(tmp_path / "shop", NEW)
        await asyncio.sleep(0.2)
        # Prepared anew, but its index is not made: the old one serves.
        assert await retriever.version() == before
        await asyncio.to_thread(run, IndexConfig(shop=shop, folder=args.folder))
        while await retriever.version() == before:
            assert await found(retriever, "shoes") == ["a"]
            await asyncio.sleep(0.01)
        return await found(retriever, "boots")

    assert asyncio.run(asyncio.wait_for(serve(), 60)) == ["c"]


def test_a_shop_that_cannot_be_read_leaves_the_old_index(args, tmp_path, write_shop, caplog):
    shop = write_shop(tmp_path / "shop", OLD)

    async def serve():
        retriever = Retriever(shop, args)
        shutil.rmtree(shop)

        async def said():
            return "the old one stays" in caplog.text

        await until(said)
        await asyncio.sleep(0.3)
        assert caplog.text.count("the old one stays") == 1
        return await found(retriever, "shoes")

    assert asyncio.run(asyncio.wait_for(serve(), 60)) == ["a"]


def test_changes_are_found_at_once(args, tmp_path, write_shop):
    shop = write_shop(tmp_path / "shop", OLD)

    async def serve():
        retriever = Retriever(shop, args)
        before = await retriever.version()
        after = await retriever.change([NEW[-1]], ["a"])
        assert before != after == await retriever.version()
        await retriever.check_health()
        return await found(retriever, "boots"), await found(retriever, "shoes")

    assert asyncio.run(serve()) == (["c"], [])
