"""What an import leaves behind: the report, the manifest, and the place where an older shop was."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planogram import storage
from planogram.data.checks import Subject, run_checks
from planogram.data.mapping import MappingConfig
from planogram.data.report import Report
from planogram.data.schema import SHOP_MANIFEST
from planogram.data.shop import SHOP_FORMAT
from planogram.errors import StorageError


@contextmanager
def replacing(out: str, overwrite: bool) -> Iterator[str]:
    """Where to write: `out` itself, or a place beside the old shop which then takes its name."""
    if not (overwrite and storage.exists(out)):
        yield out
        return
    old = storage.local_path(out)
    if not (old / SHOP_MANIFEST).is_file():
        raise StorageError(f"{out} is there, but is no shop", remedy="choose another place: only shops are overwritten")
    new = old.with_name(f".{old.name}.{uuid.uuid4().hex}")
    yield str(new)
    aside = old.with_name(f".{old.name}.{uuid.uuid4().hex}")
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside)


def make_report(mapping: MappingConfig, out: str, subjects: list[Subject], seconds: float) -> Report:
    """Run the checks of all tables.

    Args:
        mapping: names the shop.
        out: where it is written.
        subjects: the imported tables.
        seconds: how long the import took.
    """
    contents = {s.table: [s.tally.kept, *s.tally.digest] for s in subjects}
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    checks = tuple(check for subject in subjects for check in run_checks(subject))
    return Report(mapping.name, out, digest, round(seconds, 3), tuple(s.rows for s in subjects), checks)


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json` and `report.html`."""
    storage.write_json(str(folder / "report.json"), report.to_dict())
    storage.write_bytes(str(folder / "report.html"), report.html().encode())


def shop_payload(mapping: MappingConfig, report: Report) -> dict[str, Any]:
    """What the manifest of the shop says, beside its files."""
    source = json.dumps(mapping.model_dump(mode="json"), sort_keys=True)
    return {
        "format": SHOP_FORMAT,
        "name": mapping.name,
        "currency": mapping.currency,
        "locale": mapping.locale,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables": {
            t.table: {"rows": t.kept, "read": t.read, "quarantined": t.quarantined, "duplicates": t.duplicates}
            for t in report.tables
        },
        "mapping_digest": hashlib.sha256(source.encode()).hexdigest(),
        "data_digest": report.data_digest,
        "status": report.status,
    }
