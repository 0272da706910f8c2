"""Counts of an import that add up over blocks, buckets and machines."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MAX_LISTED = 1000


@dataclass
class Tally:
    """What happened to the rows of one table.

    `read = kept + quarantined + duplicates` holds at the end; rows that a `where` leaves out are not read.

    Attributes:
        files: file -> records in it, of every file that could be opened.
        columns: file -> its columns.
        damage: place and reason, of files that could not be read to their end.
        fatal: reasons to stop.
        missing: column -> kept rows without a value.
        prices: bin of the price's logarithm -> kept rows.
        first, last: of the timestamps, microseconds since 1970 UTC.
    """

    read: int = 0
    kept: int = 0
    quarantined: int = 0
    duplicates: int = 0
    superseded: int = 0
    not_selected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: dict[str, int] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    zero_prices: int = 0
    prices: Counter[int] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None
    unknown_products: int = 0
    unknown_examples: list[str] = field(default_factory=list)
    digest: tuple[int, int] = (0, 0)

    def add_file(self, name: str, columns: list[str], records: int) -> None:
        """Note the facts of a file, or of a part of one."""
        self.files[name] = self.files.get(name, 0) + records
        self.columns[name] = columns

    def merge(self, other: "Tally") -> None:
        """Add another tally to this one."""
        for name in ("read", "kept", "quarantined", "duplicates", "superseded", "not_selected", "zero_prices"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unknown_products += other.unknown_products
        self.reasons.update(other.reasons)
        self.missing.update(other.missing)
        self.prices.update(other.prices)
        for name, records in other.files.items():
            self.add_file(name, other.columns[name], records)
        self.damage = sorted([*self.damage, *other.damage])[:MAX_LISTED]
        self.fatal = sorted([*self.fatal, *other.fatal])[:MAX_LISTED]
        self.unknown_examples = sorted({*self.unknown_examples, *other.unknown_examples})[:5]
        self.first = min((t for t in (self.first, other.first) if t is not None), default=None)
        self.last = max((t for t in (self.last, other.last) if t is not None), default=None)
        self.digest = ((self.digest[0] + other.digest[0]) % 2**64, (self.digest[1] + other.digest[1]) % 2**64)

    def to_json(self) -> str:
        """As JSON, to travel through a cluster as text."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        """The tally that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        values["reasons"], values["missing"] = Counter(values["reasons"]), Counter(values["missing"])
        values["prices"] = Counter({int(number): count for number, count in values["prices"].items()})
        values["digest"] = tuple(values["digest"])
        return cls(**values)
