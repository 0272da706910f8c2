"""A bundle against a policy: measured once, judged by every rule."""

from collections.abc import Iterator

import pandas as pd

from planogram.config import GatePolicy
from planogram.errors import ConfigError
from planogram.evaluate.calibration import reliability
from planogram.evaluate.compare import other_of, same_split
from planogram.evaluate.judged import Judged
from planogram.evaluate.lexical import bm25
from planogram.evaluate.lists import by_query
from planogram.evaluate.offline import judge
from planogram.evaluate.robustness import robustness
from planogram.evaluate.slices import differences_of, slice_columns
from planogram.gate import rules, speed
from planogram.gate.finding import Finding

LEXICAL = "BM25, as there is no champion"


def findings(policy: GatePolicy, reference: str, champion: str | None) -> list[Finding]:
    """What every rule of a policy says of a bundle.

    Args:
        policy: the rules.
        reference: of the bundle.
        champion: reference of the version that the alias points to; None: to nothing, and quality and slices are
            compared with BM25.

    Raises:
        NotFoundError: there is no such bundle or shop.
        IntegrityError: a bundle does not verify.
        ConfigError: a bundle is no cross-encoder, or its task does not rank products for queries.
    """
    judged = judge(policy.evaluation(reference))
    judged.check_lists("gate")
    if not judged.queries[judged.metric].notna().any():
        raise ConfigError(
            f"gate: no query of part {policy.part} has two products and a grade above 0",
            remedy="gate on a part, or a shop, that has judged queries",
        )
    other = other_of(judged, champion, policy.champion_engine) if champion else None
    return list(_findings(policy, judged, other))


def _findings(policy: GatePolicy, judged: Judged, champion: Judged | None) -> Iterator[Finding]:
    rival, theirs = _rival(judged, champion)
    if policy.quality:
        change = (judged.queries[judged.metric] - theirs).dropna().to_numpy()
        yield rules.quality(policy.quality, change, rival, policy)
    if policy.parity:
        yield rules.parity(policy.parity, judged.manifest, policy.engine)
    if policy.latency:
        speeds = speed.pairs_per_s(policy.latency, policy, [judged, *([champion] if champion else [])])
        yield from rules.latency(policy.latency, speeds[0], speeds[1] if champion else None)
    if policy.calibration:
        found = reliability(judged.head, judged.examples.grades, judged.scores)
        yield rules.calibration(policy.calibration, found)
    if policy.robustness:
        yield from rules.robustness(policy.robustness, robustness(judged))
    if policy.slices:
        columns, _ = slice_columns(judged)
        yield from rules.slices(policy.slices, differences_of(judged, columns, theirs), rival, policy)


def _rival(judged: Judged, champion: Judged | None) -> tuple[str, "pd.Series[float]"]:
    """What quality is compared with: its name, and its metric of each query."""
    if champion:
        known = "" if same_split(judged, champion) else " (trained on another split: it may have seen these queries)"
        return f"{champion.version.reference}{known}", champion.queries[judged.metric]
    examples = judged.examples
    floor = by_query(examples.grades, bm25(examples.pairs), examples.groups, judged.config.k)
    return LEXICAL, floor[judged.metric]
