"""The audit of a model's aliases: who moved which, when and why, and what a gate said of it."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Move:
    """One entry of the audit.

    Attributes:
        action: publish, promote, rollback, or refuse: a gate did not let the version through, and nothing moved.
        before, version: what the alias pointed to before and after, or would have; 0 is nothing.
        gate: what each rule of a policy said: `rule`, `verdict`, `figure` and `limit`.
        forced: why the alias moved although rules failed.
    """

    time: str
    actor: str
    action: str
    alias: str
    before: int
    version: int
    reason: str
    gate: tuple[dict[str, Any], ...] = ()
    forced: str = ""

    @classmethod
    def read(cls, text: str) -> "Move":
        """An entry as it stands in the registry; those that older versions wrote know of no gate."""
        fields = json.loads(text)
        return cls(**fields | {"gate": tuple(fields.get("gate", ()))})

    def row(self) -> dict[str, Any]:
        """The entry for people: what each rule said in words."""
        findings = ", ".join(f"{each['rule']} {each['verdict']}{_figures(each)}" for each in self.gate)
        return {**asdict(self), "gate": findings}


def _figures(finding: dict[str, Any]) -> str:
    figure, limit = finding["figure"], finding["limit"]
    if figure is None:
        return ""
    return f" ({figure:g})" if limit is None else f" ({figure:g}, limit {limit:g})"
