"""Promotion through a gate: measure, then move the alias or say why not."""

from dataclasses import dataclass

from planogram.config import GatePolicy
from planogram.errors import NotFoundError
from planogram.gate.finding import Finding, failed
from planogram.gate.run import findings
from planogram.registry.store import ModelVersion, Registry


@dataclass(frozen=True)
class Outcome:
    """What came of a promotion.

    Attributes:
        version: that was measured.
        champion: reference of what it was compared with; None: the alias pointed to nothing.
        findings: of every rule.
        promoted: whether the alias points to it now.
        forced: why it does although rules failed; empty where none did.
    """

    version: ModelVersion
    champion: str | None
    findings: list[Finding]
    promoted: bool
    forced: str = ""


def promote(reference: str, alias: str, reason: str, policy: GatePolicy, force: str | None = None) -> Outcome:
    """Let an alias point to a version that passes a policy. Passed, refused or forced, the audit has every finding.

    Args:
        reference: of a published version.
        alias: to move; what it points to is the champion that the version is compared with.
        reason: why; it stays in the audit.
        policy: the rules.
        force: why the alias shall move although rules fail; None: it shall not.

    Raises:
        NotFoundError: there is no such version, or it is not published.
        IntegrityError, ParityError: its bundle does not verify, or has an export that may not be used: that cannot be
            forced.
        ConfigError: it cannot be measured by this policy.
    """
    registry = Registry()
    version = registry.resolve(reference)
    if not version.version:
        raise NotFoundError(f"{reference} is not published", remedy="publish it with `planogram models publish` first")
    champion = registry.pointed_to(version.name, alias)
    rival = champion.reference if champion else None
    found = findings(policy, version.reference, rival)
    short = [finding.short() for finding in found]
    bad = failed(found)
    if bad and force is None:
        registry.refuse(version.reference, alias, reason, short)
        return Outcome(version, rival, found, promoted=False)
    forced = (force or "") if bad else ""
    moved = registry.promote(version.reference, alias, reason, short, forced)
    return Outcome(moved, rival, found, promoted=True, forced=forced)
