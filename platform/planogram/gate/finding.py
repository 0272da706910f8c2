"""What a rule says of a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["PASS", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One rule's verdict.

    Attributes:
        rule: name of the rule, with what it looked at where it looks at several things.
        verdict: PASS or FAIL.
        figure: that was measured; None where there is none.
        limit: that it had to keep to; None where there is none.
        sentence: the same for people.
    """

    rule: str
    verdict: Verdict
    figure: float | None
    limit: float | None
    sentence: str

    def short(self) -> dict[str, Any]:
        """What stands in the audit."""
        return {
            "rule": self.rule,
            "verdict": self.verdict,
            "figure": self.figure if self.figure is None else round(self.figure, 6),
            "limit": self.limit,
        }


def at_least(rule: str, figure: float, limit: float, sentence: str) -> Finding:
    """A finding that passes where the figure reaches the limit; NaN does not."""
    return Finding(rule, "PASS" if figure >= limit else "FAIL", figure, limit, sentence)


def at_most(rule: str, figure: float, limit: float, sentence: str) -> Finding:
    """A finding that passes where the figure is not above the limit; NaN does not."""
    return Finding(rule, "PASS" if figure <= limit else "FAIL", figure, limit, sentence)


def failed(findings: Sequence[Finding]) -> list[Finding]:
    """Those that stand in the way."""
    return [finding for finding in findings if finding.verdict == "FAIL"]
