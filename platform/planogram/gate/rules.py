"""The rules, each a function of what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.config import (
    CalibrationRule,
    GatePolicy,
    LatencyRule,
    ParityRule,
    QualityRule,
    RobustnessRule,
    SlicesRule,
)
from planogram.errors import ParityError
from planogram.evaluate.significance import quantiles
from planogram.gate.finding import Finding, at_least, at_most
from planogram.registry.bundle import BundleManifest, check_engines, check_parity

Floats = npt.NDArray[np.floating]


def quality(rule: QualityRule, differences: Floats, rival: str, policy: GatePolicy) -> Finding:
    """Non-inferiority: the lower bound of the mean difference is not below minus the tolerance.

    Args:
        rule: of the policy.
        differences: (queries,) of NDCG, to the rival's on the same queries.
        rival: name of the champion, or of what stands in for it.
        policy: confidence, resamples and seed of the bound.

    Source: Wellek 2010, Testing Statistical Hypotheses of Equivalence and Noninferiority; Sakai 2006 for the bootstrap
    over queries.
    """
    (low,) = quantiles(differences, (1 - policy.confidence,), policy.bootstrap, policy.seed)
    sentence = (
        f"NDCG@{policy.k} changes by {differences.mean():+.4f} against {rival} on {len(differences)} queries; "
        f"with {policy.confidence:.0%} confidence by {low:+.4f} or more, needed {-rule.tolerance:+.4f}"
    )
    return at_least("quality", low, -rule.tolerance, sentence)


def parity(rule: ParityRule, manifest: BundleManifest, engine: str) -> Finding:
    """What compress measured of every export still stands, and so does it of the engine that serves."""
    if not manifest.engines:
        return Finding("parity", "FAIL" if rule.required else "PASS", 0.0, None, "the bundle has no export to compare")
    try:
        check_engines(manifest)
        if not engine.startswith("torch"):
            check_parity(manifest, engine)
    except ParityError as error:
        return Finding("parity", "FAIL", None, None, error.given)
    largest = max(each.max_difference for each in manifest.engines.values())
    return Finding(
        "parity", "PASS", largest, None, f"exports rank as the trained model; a score differs by {largest:.4f}"
    )


def latency(rule: LatencyRule, own: float, champion: float | None) -> list[Finding]:
    """Pairs per second against the policy's own limit, and against the champion's.

    Args:
        rule: of the policy.
        own: median pairs per second of the bundle.
        champion: of the champion; None: there is none.
    """
    found = []
    if rule.pairs_per_s is not None:
        sentence = f"{own:,.0f} pairs/s, needed {rule.pairs_per_s:,.0f}"
        found.append(at_least("latency", own, rule.pairs_per_s, sentence))
    if rule.of_champion is not None and champion is None:
        sentence = f"{own:,.0f} pairs/s; there is no champion to be as fast as"
        found.append(Finding("latency of the champion", "PASS", None, rule.of_champion, sentence))
    elif rule.of_champion is not None and champion is not None:
        share = own / champion
        sentence = f"{own:,.0f} pairs/s, {share:.0%} of the champion's {champion:,.0f}; needed {rule.of_champion:.0%}"
        found.append(at_least("latency of the champion", share, rule.of_champion, sentence))
    return found


def calibration(rule: CalibrationRule, found: dict[str, Any] | None) -> Finding:
    """The expected calibration error of scores against scaled grades.

    Args:
        rule: of the policy.
        found: what `reliability` returns.
    """
    if found is None:
        return Finding("calibration", "PASS", None, rule.limit, "the head's score is no probability")
    error = float(found["error"])
    sentence = f"expected calibration error {error:.4f}, allowed {rule.limit:g}"
    return at_most("calibration", error, rule.limit, sentence)


def robustness(rule: RobustnessRule, found: dict[str, Any]) -> list[Finding]:
    """Typing errors and stuffed titles.

    Args:
        rule: of the policy.
        found: what `robustness` of an evaluation returns.
    """
    findings = []
    if rule.typo_drop is not None:
        findings.append(_typos(found["typo_drop"], rule.typo_drop))
    if rule.stuffing_share is not None:
        findings.append(_stuffing(found["stuffing"], rule.stuffing_share))
    return findings


def _typos(drop: float | None, limit: float) -> Finding:
    name = "robustness to typos"
    if drop is None:
        return Finding(name, "PASS", None, limit, "no query has a word of letters to mistype")
    return at_most(name, drop, limit, f"a typing error costs {drop:.4f} NDCG, allowed {limit:g}")


def _stuffing(found: dict[str, Any] | None, limit: float) -> Finding:
    name = "robustness to stuffing"
    if found is None:
        return Finding(name, "PASS", None, limit, "the text has no title to stuff, or no query an irrelevant product")
    share = float(found["share"])
    sentence = f"a stuffed irrelevant product gains 3 ranks or more in {share:.1%} of {found['queries']} queries"
    return at_most(name, share, limit, f"{sentence}, allowed {limit:.1%}")


def slices(
    rule: SlicesRule, differences: Mapping[tuple[str, str], Floats], rival: str, policy: GatePolicy
) -> list[Finding]:
    """No slice is worse with confidence: its upper bound is not below minus the tolerance.

    The confidence is of all slices together: each has its share of what may go wrong.

    Args:
        rule: of the policy.
        differences: (slice, value) -> (queries,) differences of NDCG to the rival's; without slices of few queries.
        rival: name of the champion, or of what stands in for it.
        policy: confidence, resamples and seed.

    Returns:
        Those that fail, or one that says that none does.

    Source: Bonferroni's inequality (Dunn 1961, Multiple Comparisons Among Means).
    """
    each = (1 - policy.confidence) / max(len(differences), 1)
    found = []
    for (name, value), change in differences.items():
        (high,) = quantiles(change, (1 - each,), policy.bootstrap, policy.seed)
        sentence = (
            f"NDCG@{policy.k} of {name} {value} changes by {change.mean():+.4f} against {rival} on {len(change)} "
            f"queries, by {high:+.4f} at best; allowed {-rule.tolerance:+.4f}"
        )
        found.append(at_least(f"slice {name}: {value}", high, -rule.tolerance, sentence))
    worse = [finding for finding in found if finding.verdict == "FAIL"]
    if worse or not found:
        return worse or [Finding("slices", "PASS", None, -rule.tolerance, "no slice has queries enough to be judged")]
    least = min(finding.figure for finding in found if finding.figure is not None)
    sentence = f"none of {len(found)} slices is worse than with {rival}; the least upper bound is {least:+.4f}"
    return [Finding("slices", "PASS", least, -rule.tolerance, sentence)]
