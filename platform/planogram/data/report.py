"""What an import found: checks that pass, warn or fail, each with its figures and a sentence."""

import html
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["PASS", "WARN", "FAIL"]

_STYLES: dict[Status, str] = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 0 0 2rem }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.PASS { color: #176d2f } .WARN { color: #8a5a00 } .FAIL { color: #b00020; font-weight: bold }
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        sentence: what was found, for people.
        figures: the same for programs.
    """

    table: str
    name: str
    status: Status
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRows:
    """What became of the rows of one table: read = kept + quarantined + duplicates."""

    table: str
    read: int
    kept: int
    quarantined: int
    duplicates: int

    @property
    def identity_holds(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.read == self.kept + self.quarantined + self.duplicates


@dataclass(frozen=True)
class Report:
    """The result of `prepare`.

    Attributes:
        shop: name of the shop.
        out: where it was written.
        data_digest: the same for the same rows.
        seconds: how long the import took.
    """

    shop: str
    out: str
    data_digest: str
    seconds: float
    tables: tuple[TableRows, ...]
    checks: tuple[Check, ...]

    @property
    def status(self) -> Status:
        """The worst of all checks."""
        return worst(check.status for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"status": self.status, **asdict(self)}

    def render(self) -> Any:
        """The report for a terminal: a rich renderable."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = Table(title=f"{self.shop}: {self.status} in {self.seconds:.1f} s", title_justify="left")
        rows.add_column("table")
        for name in ("read", "kept", "quarantined", "duplicates"):
            rows.add_column(name, justify="right")
        for t in self.tables:
            rows.add_row(t.table, *(f"{n:,}" for n in (t.read, t.kept, t.quarantined, t.duplicates)))
        checks = Table("table", "check", "", "what was found")
        for check in self.checks:
            # Text, not markup: sentences quote what stands in the files.
            status = Text(check.status, style=_STYLES[check.status])
            checks.add_row(check.table, check.name, status, Text(check.sentence))
        return Group(rows, checks)

    def html(self) -> str:
        """The report as one self-contained page."""
        tables = html_table(
            ("table", "read", "kept", "quarantined", "duplicates"),
            ([t.table, *(f"{n:,}" for n in (t.read, t.kept, t.quarantined, t.duplicates))] for t in self.tables),
            numbers=True,
        )
        checks = html_table(
            ("table", "check", "status", "what was found"),
            ([c.table, c.name, c.status, c.sentence] for c in self.checks),
        )
        title = f"Import of {html.escape(self.shop)}"
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{CSS}</style></head>\n<body><h1>{title}: "
            f'<span class="{self.status}">{self.status}</span></h1>\n'
            f"<p>{self.seconds:.1f} s. Data digest <code>{self.data_digest}</code>. "
            f"Rows read = kept + quarantined + duplicates. The quarantined rows, with file, line and reason, "
            f"are in <code>quarantine/</code>.</p>\n{tables}\n{checks}\n</body></html>\n"
        )


def worst(statuses: Iterable[Status]) -> Status:
    """FAIL above WARN above PASS."""
    found = set(statuses)
    return "FAIL" if "FAIL" in found else "WARN" if "WARN" in found else "PASS"


def html_table(header: tuple[str, ...], rows: Iterable[list[str]], numbers: bool = False) -> str:
    """A table whose texts are escaped.

    Args:
        header: names of the columns.
        rows: a text for each column; a status is shown in its colour.
        numbers: whether all columns but the first stand to the right.
    """

    def cell(tag: str, position: int, text: str) -> str:
        kind = "number" if numbers and position else text if text in _STYLES else ""
        return f'<{tag} class="{kind}">{html.escape(text)}</{tag}>'

    lines = ["".join(cell("th", i, name) for i, name in enumerate(header))]
    lines += ["".join(cell("td", i, text) for i, text in enumerate(row)) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
