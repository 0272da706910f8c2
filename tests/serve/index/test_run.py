import pytest

from planogram import storage
from planogram.serve.index.build import built_folder
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
