"""What a gate found, for people and for programs."""

from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from planogram.gate.finding import failed
from planogram.gate.promote import Outcome

STYLES = {"PASS": "green", "FAIL": "bold red"}


def render(outcome: Outcome, alias: str) -> Group:
    """A line for each rule, and what came of it with every reason."""
    table = Table("rule", "", "what was found", title=f"{outcome.version.reference} for @{alias}", title_justify="left")
    for finding in outcome.findings:
        style = STYLES[finding.verdict]
        table.add_row(escape(finding.rule), f"[{style}]{finding.verdict}[/{style}]", escape(finding.sentence))
    return Group(table, escape(sentence(outcome, alias)))


def sentence(outcome: Outcome, alias: str) -> str:
    """What came of it, in words."""
    bad = failed(outcome.findings)
    name = f"{outcome.version.name}@{alias}"
    if not outcome.promoted:
        reasons = "\n".join(f"- {finding.rule}: {finding.sentence}" for finding in bad)
        return f"refused; {name} stays where it was, because\n{reasons}"
    if bad:
        return f"forced: {name} is {outcome.version.reference}, although {', '.join(each.rule for each in bad)} failed"
    return f"{name} is {outcome.version.reference}"


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "version": outcome.version.reference,
        "champion": outcome.champion,
        "promoted": outcome.promoted,
        "forced": outcome.forced,
        "failed": [finding.rule for finding in failed(outcome.findings)],
        "findings": [asdict(finding) for finding in outcome.findings],
    }
