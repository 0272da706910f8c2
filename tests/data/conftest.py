"""The import of a table in this process: the same steps as on Ray, one after another."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from planogram import section
from planogram.data.buckets import Bucket, settle, spill
from planogram.data.lookups import load_lookups
from planogram.data.mapping import MappingConfig
from planogram.data.plan import find_files, make_parts, wanted_columns
from planogram.data.records import read_part
from planogram.data.schema import TABLES
from planogram.data.tally import Tally
from planogram.data.validate import validate


@dataclass
class Imported:
    rows: pd.DataFrame
    quarantine: list[dict[str, Any]]
    tally: Tally


@pytest.fixture
def source_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def import_table(tmp_path: Path, source_folder: Path) -> Callable[..., Imported]:
    """import_table(table, source, keep=..., buckets=...): imports `source_folder` and checks that no row vanished."""

    def run(table: str, *sources: dict[str, Any], keep: str = "quarantine", buckets: int = 3) -> Imported:
        values = {"name": "test", "tables": {table: {"keep": keep, "sources": list(sources)}}}
        mapping = section.parse(MappingConfig, values, "the test")
        return _import(mapping, table, source_folder, tmp_path, buckets)

    return run


@pytest.fixture
def import_mapping(tmp_path: Path, source_folder: Path) -> Callable[[MappingConfig], dict[str, Imported]]:
    """import_mapping(mapping): every table of a mapping from `source_folder`, by name."""

    def run(mapping: MappingConfig) -> dict[str, Imported]:
        imported = {}
        for name in mapping.tables:
            folder = tmp_path / f"table-{name}"
            folder.mkdir()
            imported[name] = _import(mapping, name, source_folder, folder, buckets=1)
        return imported

    return run


def _import(mapping: MappingConfig, name: str, folder: Path, tmp_path: Path, buckets: int) -> Imported:
    table, tally, quarantine, count = TABLES[name], Tally(), [], 0
    spilled = tmp_path / "rows"
    spilled.mkdir(exist_ok=True)
    for index, source in enumerate(mapping.tables[name].sources):
        lookups, _ = load_lookups(source, str(folder))
        parts = list(make_parts(source, find_files(source, str(folder)), index, count))
        count += len(parts)
        for part in parts:
            for frame in read_part(part, source, wanted_columns(table, source)):
                result = validate(frame, table, source, lookups)
                spill(result.rows, table, buckets, spilled)
                tally.merge(result.tally)
                quarantine += result.quarantine
    for number in range(buckets):
        bucket = Bucket(spilled, number, tmp_path / f"{number}.parquet", tmp_path / "conflicts.jsonl")
        tally.merge(settle(bucket, table, mapping.tables[name].keep))
    if (tmp_path / "conflicts.jsonl").exists():
        quarantine += (tmp_path / "conflicts.jsonl").read_text().splitlines()
    frames = [pq.read_table(path).to_pandas() for path in sorted(tmp_path.glob("*.parquet"))]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    assert tally.read == tally.kept + tally.quarantined + tally.duplicates
    assert (len(rows), len(quarantine)) == (tally.kept, tally.quarantined)
    return Imported(rows, [json.loads(line) for line in quarantine], tally)
