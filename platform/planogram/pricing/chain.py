"""Lines of JSON that are chained by their hashes.

A line holds `sequence` from 1, `previous` and `hash`, `at` (UTC), and a record. The hash is the sha256 of the line
without it; `previous` is the hash of the line before (Haber & Stornetta 1991, How to Time-Stamp a Digital Document).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from planogram.errors import DataError, IntegrityError

RESERVED = frozenset({"sequence", "previous", "hash", "at"})
RESTORE = "restore the log from a copy"


@dataclass(frozen=True)
class Head:
    """A line that others follow; sequence 0 before the first."""

    sequence: int = 0
    hash: str = "0" * 64


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, floats by their shortest digits that are read back exactly.

    Raises:
        DataError: JSON has no such value, as NaN.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"a record is not JSON: {error}", remedy="write texts, numbers, lists, mappings") from error


def chained(records: Sequence[Mapping[str, Any]], head: Head) -> tuple[list[bytes], Head]:
    """The lines of records that follow a head, and the last of them.

    Raises:
        DataError: a record has a key of the chain, or a value that JSON has not.
    """
    lines, at = [], datetime.now(UTC).isoformat(timespec="milliseconds")
    for record in records:
        if taken := RESERVED & record.keys():
            raise DataError(f"a record has the keys {sorted(taken)}", remedy="name them otherwise")
        line = {**record, "sequence": head.sequence + 1, "previous": head.hash, "at": at}
        head = Head(head.sequence + 1, _hash(line))
        lines.append(canonical({**line, "hash": head.hash}) + b"\n")
    return lines, head


def parsed(line: bytes) -> dict[str, Any] | None:
    """The content of a line; None if any byte of it has changed."""
    try:
        content = json.loads(line)
        whole = isinstance(content, dict) and content.keys() >= RESERVED and canonical(content) + b"\n" == line
    except (ValueError, RecursionError, DataError):
        return None
    return content if whole and _hash(content) == content["hash"] else None


def following(line: bytes, head: Head, place: str) -> tuple[dict[str, Any], Head]:
    """The content of a line that follows a head, and the head that it is.

    Raises:
        IntegrityError: it is damaged or follows another line; the message names the place.
    """
    content = parsed(line)
    if content is None:
        raise IntegrityError(f"{place} is damaged", remedy=RESTORE)
    if (content["sequence"], content["previous"]) != (head.sequence + 1, head.hash):
        raise IntegrityError(f"{place} does not follow the line before", remedy=RESTORE)
    return content, Head(content["sequence"], content["hash"])


def _hash(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({key: value for key, value in line.items() if key != "hash"})).hexdigest()
