"""The checks of an import: each looks at the tally of one table and says what it found."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from planogram.data.frames import Wanted
from planogram.data.mapping import TableConfig
from planogram.data.measure import PRICE_BINS_PER_DECADE, median_bin, price_of_bin
from planogram.data.report import Check, Status, TableRows
from planogram.data.tally import Tally

WARN_QUARANTINED, FAIL_QUARANTINED = 0.01, 0.2
WARN_DUPLICATES = 0.05
WARN_MISSING = 0.5
WARN_ZERO_PRICES = 0.001
# A price this many times above or below the median is taken for a slip, such as cents for euros.
OUTLIER_FACTOR = 1000
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Subject:
    """What the checks of one table look at.

    Attributes:
        wanted: the columns of each source.
        lookups: what is wrong with joined files, one sentence each.
        has_products: whether references to products can be checked.
    """

    table: str
    config: TableConfig
    wanted: tuple[Wanted, ...]
    tally: Tally
    now: datetime
    lookups: tuple[str, ...] = ()
    has_products: bool = False

    def check(self, name: str, status: Status, sentence: str, **figures: object) -> Check:
        """A check of this table."""
        return Check(self.table, name, status, sentence, figures)

    @property
    def rows(self) -> TableRows:
        """Its row counts."""
        t = self.tally
        return TableRows(self.table, t.read, t.kept, t.quarantined, t.duplicates)


def run_checks(subject: Subject) -> Iterator[Check]:
    """All checks of a table, the most important first."""
    for check in CHECKS:
        yield from check(subject)


def row_identity(subject: Subject) -> Iterator[Check]:
    """No row vanishes."""
    r = subject.rows
    sentence = f"{r.read:,} rows read = {r.kept:,} kept + {r.quarantined:,} quarantined + {r.duplicates:,} duplicates"
    if subject.tally.not_selected:
        sentence += f"; `where` left out {subject.tally.not_selected:,} more"
    sentence += "" if r.identity_holds else ": they do not add up, which is a fault of Planogram"
    yield subject.check(
        "rows", "PASS" if r.identity_holds else "FAIL", sentence, not_selected=subject.tally.not_selected
    )


def files(subject: Subject) -> Iterator[Check]:
    """Files that are damaged or empty."""
    tally = subject.tally
    for damage in tally.damage:
        yield subject.check("files", "FAIL", f"{damage}; the rows before it were read", place=damage)
    empty = sorted(name for name, records in tally.files.items() if not records)
    if empty:
        yield subject.check("files", "WARN", f"{_plural(len(empty), 'file')} without rows: {_some(empty)}", empty=empty)
    if not tally.damage and not empty:
        records = sum(tally.files.values())
        yield subject.check("files", "PASS", f"{_plural(len(tally.files), 'file')} with {records:,} records")
    for problem in subject.lookups:
        yield subject.check("lookup", "WARN", problem)


def columns(subject: Subject) -> Iterator[Check]:
    """Optional columns that are mapped, but that a file does not have."""
    lacking = {}
    for name, found in subject.tally.columns.items():
        # A file belongs to one of the sources; only a column that none of them finds is missing.
        missing = [sorted(set(w.columns) - set(found)) for w in subject.wanted]
        fewest = min(missing, key=len)
        if found and fewest:
            lacking[name] = fewest
    if lacking:
        names = sorted({column for missing in lacking.values() for column in missing})
        sentence = f"{_plural(len(lacking), 'file')} without the mapped column {_some(names)}: {_some(sorted(lacking))}"
        yield subject.check("columns", "WARN", sentence, files=lacking)


def quarantined(subject: Subject) -> Iterator[Check]:
    """The share of rows that broke a rule, and the rules."""
    tally = subject.tally
    share = tally.quarantined / max(1, tally.read)
    status: Status = "FAIL" if share > FAIL_QUARANTINED else "WARN" if share > WARN_QUARANTINED else "PASS"
    reasons = [f"{reason} ({count:,})" for reason, count in tally.reasons.most_common(3)]
    sentence = f"{share:.2%} of the rows" + (f", most often: {'; '.join(reasons)}" if reasons else "")
    yield subject.check("quarantined", status, sentence, share=share, reasons=dict(tally.reasons.most_common(50)))


def duplicates(subject: Subject) -> Iterator[Check]:
    """Rows that say what another one says, or that a later or earlier one supersedes."""
    tally = subject.tally
    exact = tally.duplicates - tally.superseded
    share = exact / max(1, tally.read)
    sentence = f"{exact:,} exact duplicates"
    if subject.config.keep != "quarantine":
        sentence += f", {tally.superseded:,} superseded by the {subject.config.keep} row of their key"
    # Where one row of each key is kept on purpose, repetition is expected.
    status: Status = "WARN" if share > WARN_DUPLICATES and subject.config.keep == "quarantine" else "PASS"
    yield subject.check("duplicates", status, sentence, exact=exact, superseded=tally.superseded)


def missing_values(subject: Subject) -> Iterator[Check]:
    """Mapped fields that are mostly without a value."""
    mapped = {name for source in subject.config.sources for name in source.fields}
    shares = {name: subject.tally.missing[name] / max(1, subject.tally.kept) for name in sorted(mapped)}
    mostly = [f"{name} ({share:.0%})" for name, share in shares.items() if share > WARN_MISSING]
    sentence = f"mostly without a value: {', '.join(mostly)}" if mostly else "every mapped field has values"
    yield subject.check("missing values", "WARN" if mostly else "PASS", sentence, shares=shares)


def references(subject: Subject) -> Iterator[Check]:
    """Rows that name a product which is not in the products table."""
    tally = subject.tally
    if subject.table == "products" or not subject.has_products or "product_id" not in tally.missing:
        return
    share = tally.unknown_products / max(1, tally.kept)
    sentence = f"{tally.unknown_products:,} rows ({share:.2%}) name a product that the products table does not have"
    if tally.unknown_products:
        sentence += f", such as {_some(tally.unknown_examples)}"
    yield subject.check(
        "products", "WARN" if tally.unknown_products else "PASS", sentence, unknown=tally.unknown_products, share=share
    )


def prices(subject: Subject) -> Iterator[Check]:
    """Prices of zero, and prices far from all others."""
    tally = subject.tally
    above_zero = sum(tally.prices.values())
    middle = median_bin(tally.prices)
    if middle is None:
        return
    reach = math.log10(OUTLIER_FACTOR) * PRICE_BINS_PER_DECADE
    outliers = sum(n for number, n in tally.prices.items() if abs(number - middle) > reach)
    zero_share = tally.zero_prices / (above_zero + tally.zero_prices)
    status: Status = "WARN" if outliers or zero_share > WARN_ZERO_PRICES else "PASS"
    median = price_of_bin(middle)
    sentence = (
        f"median about {median:.3g}; {tally.zero_prices:,} are zero, "
        f"{outliers:,} more than {OUTLIER_FACTOR:,} times above or below the median"
    )
    yield subject.check("prices", status, sentence, median=median, zero=tally.zero_prices, outliers=outliers)


def times(subject: Subject) -> Iterator[Check]:
    """The range of the timestamps; what lies ahead of today is a slip."""
    tally = subject.tally
    if tally.first is None or tally.last is None:
        return
    first, last = (datetime.fromtimestamp(t / _MICROSECONDS, UTC) for t in (tally.first, tally.last))
    strange = last > subject.now or first.year < 1990
    sentence = f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    sentence += ": before 1990 or in the future" if strange else ""
    yield subject.check(
        "timestamps", "WARN" if strange else "PASS", sentence, first=first.isoformat(), last=last.isoformat()
    )


CHECKS: tuple[Callable[[Subject], Iterator[Check]], ...] = (
    row_identity, files, columns, quarantined, duplicates, missing_values, references, prices, times,
)  # fmt: skip


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
