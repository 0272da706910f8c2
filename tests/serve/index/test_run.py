import shutil
import threading
from pathlib import Path

import pytest

from planogram import storage
from planogram.serve.index import build
from planogram.serve.index.build import INDEX_MANIFEST, built_folder
from planogram.serve.index.run import run
from planogram.serve.settings import IndexConfig, RetrieverArgs

ROWS = [{"product_id": "a", "title": "red shoes"}, {"product_id": "b", "title": "lamp"}]


def test_an_index_made_ahead_is_the_one_that_a_server_opens(tmp_path, write_shop, open_index, monkeypatch):
    shop = write_shop(tmp_path / "shop", ROWS)
    args = RetrieverArgs(folder=str(tmp_path / "indexes"))
    assert built_folder(shop, args) is None
    made = run(IndexConfig(shop=shop, folder=args.folder))
    assert (made["products"], made["encoder"]) == (2, None)
    assert made["size_mb"] > 0 and made["peak_memory_mb"] > 50
    assert str(open_index(shop, args).folder) == made["folder"] == str(built_folder(shop, args))
    assert run(IndexConfig(shop=shop, folder=args.folder))["folder"] == made["folder"]
    # A server asks every second: no table of the shop is read for that.
    monkeypatch.setattr(storage, "sha256_file", lambda path: pytest.fail(f"{path} is read"))
    assert str(built_folder(shop, args)) == made["folder"]


def test_only_what_makes_an_index_makes_the_copy_that_takes_changes(tmp_path, write_shop):
    """A server that looks at the same time would write the same files."""
    shop = write_shop(tmp_path / "shop", ROWS)
    config = IndexConfig(shop=shop, folder=str(tmp_path / "indexes"))
    made = Path(run(config)["folder"])
    shutil.rmtree(made)
    assert built_folder(shop, config) is None
    assert not made.exists()
    assert Path(run(config)["folder"]) == built_folder(shop, config) == made


def test_a_copy_that_ended_half_way_is_made_anew(tmp_path, write_shop, open_index):
    shop = write_shop(tmp_path / "shop", ROWS)
    config = IndexConfig(shop=shop, folder=str(tmp_path / "indexes"))
    made = Path(run(config)["folder"])
    half = made.with_name(f".{made.name}")
    made.rename(half)
    (half / INDEX_MANIFEST).unlink()
    assert Path(run(config)["folder"]) == made
    assert open_index(shop, RetrieverArgs(folder=config.folder)).version
    assert not half.exists()


def test_products_are_read_in_the_thread_that_makes_the_index(tmp_path, write_shop, monkeypatch):
    """OpenVINO corrupts memory in threads that LanceDB calls from, from the second call on."""
    threads, real = [], build.product_rows

    def product_rows(*args):
        threads.append(threading.current_thread())
        return real(*args)

    monkeypatch.setattr(build, "product_rows", product_rows)
    monkeypatch.setattr(build, "CHUNK", 1)
    made = run(IndexConfig(shop=write_shop(tmp_path / "shop", ROWS), folder=str(tmp_path / "indexes")))
    assert threads == [threading.current_thread()] * len(ROWS)
    assert {path.name for path in Path(made["folder"]).iterdir()} == {
        "products.lance", "neighbours.lance", "shoppers.lance", INDEX_MANIFEST,
    }  # fmt: skip
