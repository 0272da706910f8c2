"""The audit of prices: every decision with all that it was made of, and the proof that it is made again of that."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isclose, isfinite
from typing import Any

import numpy as np

from planogram.pricing.audit import MAX_BYTES, AuditLog, read
from planogram.pricing.chain import Head, canonical
from planogram.pricing.choose import decide_groups
from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision
from planogram.pricing.family import Substitutes, groups
from planogram.pricing.guardrails import KILL_SWITCH, check_all
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

# Floats that another processor may compute with another last digit.
FIGURES = ("expected_units", "expected_profit", "interval")
BATCH = 256


@dataclass(frozen=True)
class Mismatch:
    """What a replay found otherwise.

    Attributes:
        sequence: of the line.
        field: of the decision; `final` is the price after the guardrails, and their rule.
    """

    sequence: int
    product_id: str
    field: str
    recorded: Any
    replayed: Any


class DecisionLog:
    """The audit log of prices.

    A line of kind `decision` holds the products that were decided together: items, curves with their draws, random
    numbers, the decisions, and the final prices and rules. A line of kind `policy` stands before the first decision by
    it that this object writes.

    Args:
        path: of the log; on this machine.
        max_bytes: see `AuditLog`.
    """

    def __init__(self, path: str, max_bytes: int = MAX_BYTES) -> None:
        self._log = AuditLog(path, max_bytes)
        self._policy: str | None = None

    def append(
        self,
        curves: Sequence[DemandCurve],
        items: Sequence[PriceItem],
        policy: PricePolicy,
        decisions: Sequence[Decision],
        final: Sequence[Decision],
        substitutes: Substitutes | None = None,
    ) -> Head:
        """Write what `decide_all` decided of these arguments, and what `check_all` left of it.

        Raises:
            DataError, IntegrityError: see `AuditLog.append`.
        """
        settings = policy.model_dump(mode="json")
        digest = hashlib.sha256(canonical(settings)).hexdigest()
        records: list[dict[str, Any]] = []
        if digest != self._policy:
            records.append({"kind": "policy", "digest": digest, "policy": settings})
        for group in groups(items, policy, substitutes):
            records.append(
                {
                    "kind": "decision",
                    "policy": digest,
                    "items": [_item(items[place]) for place in group],
                    "curves": [_curve(curves[place]) for place in group],
                    "substitutes": _among([items[place].product_id for place in group], substitutes),
                    "decisions": [vars(decisions[place]) for place in group],
                    "final": [[final[place].price, final[place].rule] for place in group],
                }
            )
        head = self._log.append(records)
        self._policy = digest
        return head


def replay(path: str) -> list[Mismatch]:
    """Make every decision of a log again.

    Prices, limits, rules and propensities must be equal bit for bit; expected figures to a billionth.

    Raises:
        IntegrityError: the log is damaged.
    """
    return [mismatch for batch in _batches(path) for mismatch in _replayed(*batch)]


def _batches(path: str) -> Iterator[tuple[PricePolicy, list[dict[str, Any]]]]:
    """Runs of decisions of one policy and number of draws, since many are made again as fast as one."""
    policies: dict[str, PricePolicy] = {}
    batch: list[dict[str, Any]] = []
    for line in read(path):
        if line["kind"] == "policy":
            policies[line["digest"]] = PricePolicy.model_validate(line["policy"])
            continue
        if batch and (len(batch) == BATCH or _kind(line) != _kind(batch[0]) or line["substitutes"]):
            yield policies[batch[0]["policy"]], batch
            batch = []
        batch.append(line)
    if batch:
        yield policies[batch[0]["policy"]], batch


def _kind(line: Mapping[str, Any]) -> tuple[str, int, bool]:
    return line["policy"], len(line["curves"][0]["draws"]), bool(line["substitutes"])


def _replayed(policy: PricePolicy, lines: Sequence[Mapping[str, Any]]) -> Iterator[Mismatch]:
    curves = [curve_again(curve) for line in lines for curve in line["curves"]]
    items = [item_again(item) for line in lines for item in line["items"]]
    rows = iter(range(len(items)))
    grouped = [[next(rows) for _ in line["items"]] for line in lines]
    uniforms = [line["decisions"][0]["uniforms"] for line in lines]
    drawn = None if policy.exploration == "none" else np.asarray(uniforms)
    decided = decide_groups(curves, items, policy, grouped, drawn, lines[0]["substitutes"])
    for line, group in zip(lines, grouped, strict=True):
        own = [decided[row] for row in group]
        final = check_all(own, [items[row] for row in group], policy, _Recorded(line))
        for place, decision in enumerate(own):
            yield from _differences(line["sequence"], line["decisions"][place], decision)
            if line["final"][place] != [final[place].price, final[place].rule]:
                now = [final[place].price, final[place].rule]
                yield Mismatch(line["sequence"], decision.product_id, "final", line["final"][place], now)


class _Recorded:
    """The kill switch as it was."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self._on = line["final"][0][1] == KILL_SWITCH

    def is_on(self) -> bool:
        return self._on


def _differences(sequence: int, recorded: Mapping[str, Any], decision: Decision) -> Iterator[Mismatch]:
    for field in fields(Decision):
        before, now = recorded[field.name], getattr(decision, field.name)
        now = list(now) if isinstance(now, tuple) else now
        if before != now and not (field.name in FIGURES and _close(before, now)):
            yield Mismatch(sequence, decision.product_id, field.name, before, now)


def _close(before: Any, now: Any) -> bool:
    if before is None or now is None:
        return False
    pairs = zip(np.atleast_1d(before).tolist(), np.atleast_1d(now).tolist(), strict=True)
    return all(isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) for one, other in pairs)


def _among(products: Sequence[str], substitutes: Substitutes | None) -> dict[str, dict[str, float]]:
    inside = set(products)
    found = {
        one: {other: e for other, e in (substitutes or {}).get(one, {}).items() if other in inside} for one in products
    }
    return {one: others for one, others in found.items() if others}


def _item(item: PriceItem) -> dict[str, Any]:
    """What is known of it; numbers that JSON has not are written as texts."""
    known = {name: value for name, value in vars(item).items() if value is not None}
    return {name: _written(value) for name, value in known.items()}


def _written(value: Any) -> Any:
    return repr(float(value)) if isinstance(value, float) and not isfinite(value) else value


def item_again(values: Mapping[str, Any]) -> PriceItem:
    """A product as a line of the audit has it."""
    known: dict[str, Any] = {name: _read(name, value) for name, value in values.items()}
    return PriceItem(**known)


def _read(name: str, value: Any) -> Any:
    return float(value) if isinstance(value, str) and name not in ("product_id", "family") else value


def _curve(curve: DemandCurve) -> dict[str, Any]:
    return {**vars(curve), "draws": curve.draws.tolist()}


def curve_again(values: Mapping[str, Any]) -> DemandCurve:
    """A demand curve as a line of the audit has it."""
    return DemandCurve(**{**values, "draws": np.asarray(values["draws"], dtype=np.float64).reshape(-1, 2)})
