"""What is written: tables that fit the schema, the mapping, the truth apart, the same bytes for the same seed."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from planogram import storage
from planogram.config import SimulateConfig
from planogram.data.mapping import load_mapping
from planogram.data.schema import TABLES
from planogram.data.simulate import simulate
from planogram.data.simulate.write import MAPPING_FILE, SIMULATION_MANIFEST
from planogram.errors import StorageError

WRITTEN = ("products", "judgments", "interactions", "reviews")


@pytest.mark.parametrize("name", WRITTEN)
def test_tables_have_the_schema_of_the_shop(small, name):
    for path in (small.folder / name).iterdir():
        assert pq.read_schema(path).remove_metadata().equals(TABLES[name].arrow_schema)


@pytest.mark.parametrize("name", WRITTEN)
def test_rows_keep_the_rules_of_the_schema(shop, name):
    frame, table = shop[name], TABLES[name]
    assert len(frame) == shop.summary[name]
    for column in table.columns:
        values = frame[column.name].dropna()
        assert not column.required or len(values) == len(frame), column.name
        assert column.minimum is None or (values >= column.minimum).all(), column.name
        assert column.above is None or (values > column.above).all(), column.name
        assert column.maximum is None or (values <= column.maximum).all(), column.name
        assert not column.choices or values.isin(column.choices).all(), column.name
    assert not table.key or not frame.duplicated(list(table.key)).any()


def test_tables_refer_to_each_other(shop):
    products = set(shop["products"]["product_id"])
    for name in ("judgments", "interactions", "reviews", "truth/grades"):
        assert set(shop[name]["product_id"]) <= products
    assert set(shop["interactions"]["query"]) <= set(shop["truth/queries"]["query"])
    assert set(shop["interactions"]["user_id"]) <= set(shop["truth/shoppers"]["user_id"])


def test_the_summary_counts_events(shop):
    assert shop.summary["events"] == shop["interactions"]["event_type"].value_counts().to_dict()
    assert shop.summary["events"]["impression"] == 50_000 * 10


def test_the_same_seed_gives_the_same_bytes(small, small_config, tmp_path):
    simulate(small_config, str(tmp_path / "again"))
    assert _digests(tmp_path / "again") == _digests(small.folder)


def test_another_seed_gives_other_tables(small, small_config, tmp_path):
    simulate(small_config.model_copy(update={"seed": 1}), str(tmp_path / "other"))
    other, first = _digests(tmp_path / "other"), _digests(small.folder)
    same = [name for name in first if other.get(name) == first[name]]
    assert same == [MAPPING_FILE]


def test_the_folder_is_sealed(small):
    manifest = storage.verify(small.folder, SIMULATION_MANIFEST)
    assert manifest["summary"] == small.summary
    assert SimulateConfig(**manifest["config"]) == small.config


def test_an_existing_folder_is_refused(small, small_config):
    with pytest.raises(StorageError, match="already there"):
        simulate(small_config, str(small.folder))


def test_nothing_is_left_when_it_fails(small_config, tmp_path):
    with pytest.raises(Exception, match="distinct queries"):
        simulate(small_config.model_copy(update={"products": 10, "queries": 10**6}), str(tmp_path / "shop"))
    assert list(tmp_path.iterdir()) == []


def test_the_mapping_names_every_table_and_no_truth(small):
    mapping = load_mapping(str(small.folder / MAPPING_FILE))
    assert set(mapping.tables) == set(WRITTEN)
    assert "truth" not in {part for table in mapping.tables.values() for one in table.sources for part in one.files}
    for name, table in mapping.tables.items():
        (source,) = table.sources
        found = {path for pattern in source.files for path in small.folder.glob(pattern)}
        assert found == set((small.folder / name).iterdir())
        assert source.columns() <= set(small[name].columns)


def test_an_export_without_reviews_maps_none(small_config, tmp_path):
    simulate(small_config.model_copy(update={"reviews": 0}), str(tmp_path / "shop"))
    assert set(load_mapping(str(tmp_path / "shop" / MAPPING_FILE)).tables) == set(WRITTEN) - {"reviews"}


def test_a_tiny_shop_shows_all_it_has(tmp_path):
    config = SimulateConfig(
        products=10, shoppers=1, queries=5, sessions=3, page_size=50, reviews=1, judged_per_query=99
    )
    summary = simulate(config, str(tmp_path / "shop"))
    assert summary["events"]["impression"] == 3 * 10
    assert summary["judgments"] == 5 * 10


def test_the_truth_states_its_figures(small):
    truth = json.loads((small.folder / "truth" / "parameters.json").read_text())
    np.testing.assert_allclose(truth["examination"], np.arange(1, 11) ** -0.8)
    assert truth["pages"]["pool_size"] == 30
    assert len(truth["categories"]) == 12


def _digests(folder):
    files = storage.read_json(str(folder / SIMULATION_MANIFEST))["files"]
    # parameters.json repeats the configuration, and with it the seed.
    return {name: entry["sha256"] for name, entry in files.items() if not name.endswith("parameters.json")}
