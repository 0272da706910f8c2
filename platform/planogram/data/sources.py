"""`planogram data prepare`: a shop from the user's own files, on Ray Data.

One pass streams each table: read (one task per part) -> validate and spread over buckets -> settle each bucket. Nothing
grows with the table but files on disk. Folders are written by tasks, so the work stays on this node unless the nodes of
the cluster share a file system.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from planogram import storage
from planogram.cluster import quiet_data
from planogram.data.buckets import Bucket, num_buckets, settle, spill
from planogram.data.checks import Subject
from planogram.data.frames import Part
from planogram.data.hashing import Hashes
from planogram.data.lookups import load_lookups
from planogram.data.mapping import MappingConfig, TableConfig, load_mapping
from planogram.data.measure import product_hashes
from planogram.data.plan import find_files, make_parts, text_bytes, wanted_columns
from planogram.data.publish import make_report, replacing, shop_payload, write_report
from planogram.data.records import read_part
from planogram.data.report import Report
from planogram.data.schema import PRODUCTS, SHOP_MANIFEST, TABLES, Table
from planogram.data.shop import open_shop, read_table
from planogram.data.tally import Tally
from planogram.data.validate import Lookup, validate
from planogram.errors import ClusterError, DataError

__all__ = ["open_shop", "prepare", "read_table"]

BLOCK_BYTES = 32 << 20
# Blocks that wait between reading and validation; without a bound a fast reader fills the object store.
IN_FLIGHT_BYTES = 512 << 20
_WORK = ".work"


@dataclass(frozen=True)
class _Job:
    """The import of one table."""

    table: Table
    config: TableConfig
    parts: tuple[Part, ...]
    buckets: int
    lookups: tuple[dict[str, Lookup], ...]
    lookup_problems: tuple[str, ...]
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / _WORK / self.table.name


def prepare(mapping_path: str, path: str, out: str, *, overwrite: bool = False, shared: bool = False) -> Report:
    """Import the files of a folder as a shop. Needs a running Ray cluster: see `planogram.cluster.connect`.

    Args:
        mapping_path: the source mapping (YAML).
        path: folder or URI with the source files.
        out: folder or URI of the new shop.
        overwrite: replace a shop that is already there, once the new one is whole.
        shared: all nodes of the cluster see `path` and `out` under the same names; else this node does the work.

    Returns:
        The report, which also lies in the shop as `report.json` and `report.html`.

    Raises:
        ConfigError: the mapping is wrong.
        NotFoundError: the folder does not exist.
        DataError: a file, a column or every row of a table is missing; no shop is written.
        StorageError: `out` is already there.
        ClusterError: a task failed for a reason outside the data.
    """
    started = time.monotonic()
    mapping = load_mapping(mapping_path)
    path = path if not storage.is_local(path) else str(storage.local_path(path).absolute())
    with replacing(out, overwrite) as target, storage.sealed_folder(target, SHOP_MANIFEST) as (folder, manifest):
        subjects = _import_tables(mapping, path, folder.absolute(), shared)
        report = make_report(mapping, out, subjects, time.monotonic() - started)
        write_report(folder, report)
        manifest.update(shop_payload(mapping, report))
        shutil.rmtree(folder / _WORK)
    return report


def _import_tables(mapping: MappingConfig, path: str, folder: Path, shared: bool) -> list[Subject]:
    jobs = [_plan(TABLES[name], mapping.tables[name], path, folder) for name in TABLES if name in mapping.tables]
    has_products = PRODUCTS.name in mapping.tables
    products: Hashes | None = None
    now = datetime.now(UTC)
    subjects = []
    with quiet_data(), _data_context(), _task_errors():
        options = _placement(shared)
        for job in jobs:
            tally = _read_table(job, options)
            tally.merge(_settle_table(job, options, products))
            _check_usable(job, tally)
            if job.table.name == PRODUCTS.name:
                products = _known_products(folder)
            wanted = tuple(wanted_columns(job.table, source) for source in job.config.sources)
            subjects.append(Subject(job.table.name, job.config, wanted, tally, now, job.lookup_problems, has_products))
    return subjects


def _plan(table: Table, config: TableConfig, path: str, folder: Path) -> _Job:
    parts: list[Part] = []
    lookups, problems, num_bytes = [], [], 0
    for index, source in enumerate(config.sources):
        found = find_files(source, path)
        parts += make_parts(source, found, index, len(parts))
        num_bytes += text_bytes(source, found)
        joined, wrong = load_lookups(source, path)
        lookups.append(joined)
        problems += wrong
    job = _Job(table, config, tuple(parts), num_buckets(num_bytes), tuple(lookups), tuple(problems), folder)
    for directory in (folder / table.name, folder / "quarantine", job.work / "rows", job.work / "quarantine"):
        directory.mkdir(parents=True, exist_ok=True)
    return job


def _read_table(job: _Job, options: Mapping[str, Any]) -> Tally:
    """Read, validate and spread the rows of a table; stops at the first thing that makes it useless."""
    import ray

    shared_job = ray.put(job)
    tally = Tally()
    dataset = ray.data.from_items([{"part": part.number} for part in job.parts], override_num_blocks=len(job.parts))
    # Different CPU shares keep Ray Data from fusing the two: one reads on while the other validates.
    dataset = dataset.map_batches(
        _read, fn_args=(shared_job,), batch_format="pandas", batch_size=None, num_cpus=0.5, **options
    ).map_batches(
        _validate, fn_args=(shared_job,), batch_format="pandas", batch_size=None, zero_copy_batch=True, **options
    )
    for batch in dataset.iter_batches(batch_format="pandas", batch_size=None):
        for text in batch["tally"]:
            tally.merge(Tally.from_json(text))
        if tally.fatal:
            raise DataError(
                "; ".join(sorted(set(tally.fatal))[:3]),
                remedy="mend the mapping's columns (or its csv options, encoding and header), or the file",
            )
    return tally


def _read(batch: pd.DataFrame, job_ref: Any) -> Iterator[pd.DataFrame]:
    import ray

    job: _Job = ray.get(job_ref)
    for number in batch["part"]:
        part = job.parts[int(number)]
        source = job.config.sources[part.source]
        yield from read_part(part, source, wanted_columns(job.table, source))


def _validate(frame: pd.DataFrame, job_ref: Any) -> pd.DataFrame:
    import ray

    job: _Job = ray.get(job_ref)
    tally = Tally()
    for number in sorted(frame["_part"].unique()):
        part, rows = job.parts[int(number)], frame[frame["_part"] == number]
        result = validate(rows, job.table, job.config.sources[part.source], job.lookups[part.source])
        spill(result.rows, job.table, job.buckets, job.work / "rows")
        if result.quarantine:
            text = "\n".join(result.quarantine) + "\n"
            # The name sorts by place, and is the same when a task is run again.
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            name = f"{part.number:08d}-{int(rows['_line'].iloc[0]):014d}-{digest}.jsonl"
            (job.work / "quarantine" / name).write_text(text, encoding="utf-8")
        tally.merge(result.tally)
    return pd.DataFrame({"tally": [tally.to_json()]})


def _settle_table(job: _Job, options: Mapping[str, Any], products: Hashes | None) -> Tally:
    """Remove duplicates bucket by bucket, and gather the quarantine."""
    import ray

    task = ray.remote(_settle).options(num_cpus=1, **options)
    shared_job, shared_products = ray.put(job), ray.put(products)
    tally = Tally()
    for result in ray.get([task.remote(shared_job, bucket, shared_products) for bucket in range(job.buckets)]):
        tally.merge(result)
    pieces = sorted((job.work / "quarantine").glob("*.jsonl"))
    if pieces:
        with (job.folder / "quarantine" / f"{job.table.name}.jsonl").open("wb") as target:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, target)
    shutil.rmtree(job.work)
    return tally


def _settle(job: _Job, bucket: int, products: Hashes | None) -> Tally:
    target = job.folder / job.table.name / f"part-{bucket:05d}.parquet"
    # Sorts behind the rows that validation found.
    quarantine = job.work / "quarantine" / f"settled-{bucket:05d}.jsonl"
    return settle(Bucket(job.work / "rows", bucket, target, quarantine), job.table, job.config.keep, products)


def _check_usable(job: _Job, tally: Tally) -> None:
    if tally.kept:
        return
    reasons = "; ".join(f"{reason} ({count:,})" for reason, count in tally.reasons.most_common(3))
    places = f" Damaged: {'; '.join(tally.damage[:3])}." if tally.damage else ""
    raise DataError(
        f"the table {job.table.name} has no rows: of {tally.read:,} read, {tally.quarantined:,} broke a rule, and "
        f"`where` left out {tally.not_selected:,}. Most often: {reasons or 'the files are empty'}.{places}",
        remedy="mend the mapping or the files: " + ", ".join(sorted({part.shown for part in job.parts})[:5]),
    )


def _known_products(folder: Path) -> Hashes:
    import pyarrow.parquet as pq

    ids = [
        batch.column(0)
        for path in sorted((folder / PRODUCTS.name).glob("*.parquet"))
        for batch in pq.ParquetFile(path).iter_batches(columns=["product_id"])
    ]
    return np.sort(np.concatenate([product_hashes(array) for array in ids]))


@contextmanager
def _data_context() -> Iterator[None]:
    """Ray Data's settings for an import: small blocks, and few of them waiting."""
    from ray.data import DataContext, ExecutionResources

    context = DataContext.get_current()
    before = context.target_max_block_size, context.execution_options.resource_limits
    context.target_max_block_size = BLOCK_BYTES
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=IN_FLIGHT_BYTES)
    try:
        yield
    finally:
        context.target_max_block_size, context.execution_options.resource_limits = before


@contextmanager
def _task_errors() -> Iterator[None]:
    """Failures of tasks as our own errors: the cause in a sentence, the trace in Ray's logs."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        # Ray wraps the cause in others and renders all of them as one text: the first error in it is the cause.
        causes = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*$", str(error), re.MULTILINE)
        raise ClusterError(
            f"a task of the import failed: {causes[0] if causes else str(error).strip()[:1000]}",
            remedy="check free disk and memory, then the logs of Ray",
        ) from error


def _placement(shared: bool) -> dict[str, Any]:
    """Options that keep tasks on this node, where the folders are, unless all nodes share them."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if shared or sum(node["Alive"] for node in ray.nodes()) == 1:
        return {}
    here = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}
