"""A catalogue scored in parts: what is there is not scored again, what is torn or of something else is."""

import json
from pathlib import Path

import pandas as pd
import pytest
from tests import ranked
from typer.testing import CliRunner

from planogram import cli, storage
from planogram.bulk.run import run
from planogram.config import ScoreConfig
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import ConfigError, DataError
from planogram.section import parse


@pytest.fixture(autouse=True)
def _at_home(home):
    """Bundles are folders here, and nothing is published."""


@pytest.fixture
def asked(ranked_bundle, ranked_shop, tmp_path):
    (tmp_path / "queries.txt").write_text("red shoes\nblue lamp\n\nred shoes\n")
    (tmp_path / "products.txt").write_text("\n".join(row["product_id"] for row in ranked.products()[:30]))

    def made(**more) -> ScoreConfig:
        values = {
            "bundle": ranked_bundle,
            "shop": ranked_shop,
            "out": str(tmp_path / "scores"),
            "queries": str(tmp_path / "queries.txt"),
            "candidates": str(tmp_path / "products.txt"),
            "pairs_per_part": 25,
            "workers": 0,
            **more,
        }
        return parse(ScoreConfig, {name: value for name, value in values.items() if value is not None}, "test")

    return made


def parts(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("part-*.parquet"))


def test_every_query_is_scored_with_every_candidate(asked, ranked_bundle):
    found = run(asked())
    assert (found["pairs"], found["parts"], found["kept"]) == (60, 3, 0)
    assert found["pairs_per_s"] > 0
    table = pd.read_parquet(found["out"])
    assert table.columns.tolist() == ["query", "product_id", "relevance", "truncated"]
    assert len(table.drop_duplicates(["query", "product_id"])) == 60
    titles = {row["product_id"]: f"{row['title']} | {row['brand']}" for row in ranked.products()}
    pairs = [(query, titles[product]) for query, product in zip(table["query"], table["product_id"], strict=True)]
    expected = score(load_engine(ranked_bundle), pairs, 4096).values[:, 0]
    assert table["relevance"].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert storage.read_json(f"{found['out']}/_scores.json") == found


def test_the_same_command_again_scores_nothing(asked):
    run(asked())
    before = [path.stat().st_mtime_ns for path in parts(asked().out)]
    found = run(asked())
    assert (found["pairs"], found["kept"], found["pairs_per_s"]) == (60, 3, None)
    assert [path.stat().st_mtime_ns for path in parts(asked().out)] == before


@pytest.mark.parametrize("damage", ["part removed", "part torn", "seal removed", "seal torn"])
def test_a_part_that_is_not_whole_is_scored_again(asked, damage):
    run(asked())
    whole = pd.read_parquet(asked().out)
    what, how = damage.split()
    path = Path(asked().out) / ("part-00001.parquet" if what == "part" else "_part-00001.json")
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9])
    found = run(asked())
    assert (found["kept"], found["pairs"]) == (2, 60)
    pd.testing.assert_frame_equal(pd.read_parquet(asked().out), whole)


def test_parts_of_another_bundle_are_scored_again(asked, ranked_bundle, tmp_path):
    run(asked())
    before = pd.read_parquet(asked().out)
    other = ranked.edited(ranked_bundle, tmp_path / "other", weights=ranked.noisy(0.5))
    assert run(asked(bundle=other))["kept"] == 0
    assert (pd.read_parquet(asked().out)["relevance"] != before["relevance"]).any()


def test_only_parts_whose_pairs_changed_are_scored_again(asked, tmp_path):
    run(asked())
    (tmp_path / "queries.txt").write_text("red shoes\ngreen chair\n")
    # 25 of the first part are of the first query; the second part begins with its last five.
    assert run(asked())["kept"] == 1


def test_a_smaller_table_leaves_nothing_of_a_larger_one(asked, tmp_path):
    run(asked())
    (tmp_path / "queries.txt").write_text("red shoes\n")
    found = run(asked())
    assert (found["pairs"], found["parts"], len(pd.read_parquet(found["out"]))) == (30, 2, 30)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_pairs_of_a_file_are_scored_in_their_order(asked, tmp_path, ending):
    rows = pd.DataFrame({"query": ["red shoes", "a lamp"], "product_id": ["red-shoes-wooden", "red-lamp-leather"]})
    path = str(tmp_path / f"pairs.{ending}")
    rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path)
    found = run(asked(pairs=path, queries=None, candidates=None))
    table = pd.read_parquet(found["out"])
    pd.testing.assert_frame_equal(table[["query", "product_id"]], rows, check_dtype=False)


def test_without_files_every_judged_query_and_every_product_is_scored(asked):
    found = run(asked(queries=None, candidates=None, pairs_per_part=10_000))
    assert (found["pairs"], found["parts"]) == (48 * 96, 1)


def test_long_texts_are_counted(asked, tmp_path):
    (tmp_path / "queries.txt").write_text(" ".join(["shoes"] * 60) + "\n")
    assert run(asked())["truncated"] == 30


def test_a_product_that_the_shop_lacks_is_named(asked, tmp_path):
    (tmp_path / "products.txt").write_text("red-shoes-wooden\nno-such-product\n")
    with pytest.raises(DataError, match="no-such-product"):
        run(asked())


def test_what_cannot_be_scored_is_refused(asked, ranked_bundle, tmp_path):
    with pytest.raises(ConfigError, match="leave queries and candidates out"):
        asked(pairs="pairs.csv")
    (tmp_path / "pairs.csv").write_text("query,sku\na,b\n")
    with pytest.raises(ConfigError, match="no column product_id"):
        run(asked(pairs=str(tmp_path / "pairs.csv"), queries=None, candidates=None))
    with pytest.raises(ConfigError, match=r"ends in \.csv or \.parquet"):
        run(asked(pairs=str(tmp_path / "queries.txt"), queries=None, candidates=None))
    other = ranked.edited(ranked_bundle, tmp_path / "bi", kind="bi-encoder")
    with pytest.raises(ConfigError, match="does not score texts alone"):
        run(asked(bundle=other))


def test_the_command_prints_what_was_scored(asked):
    values = asked().model_dump(mode="json", exclude_none=True, exclude={"cluster"})
    settings = [f"--set={name}={value}" for name, value in values.items()]
    found = CliRunner().invoke(cli.app, ["score", *settings, "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["pairs"] == 60
