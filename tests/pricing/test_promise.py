"""The promise about prices, on 10,000 generated cases: nothing that is decided breaks a rule, and all of it replays.

The judge below shares no code with the library: it works in decimals of 800 digits, where the limits and the guardrails
use fractions.
"""

from collections import Counter
from dataclasses import replace
from decimal import Context, Decimal
from math import isfinite

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.guardrails import check, check_all
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy
from planogram.pricing.replay import DecisionLog, replay

BATCHES, BATCH = 500, 20
EXACT = Context(prec=800)
NASTY = [
    float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    -1.0,
    5e-324,
    1e-7,
    0.005,
    0.1 + 0.2,
    1.005,
    9.999999999999998,
    1e10,
    1e10 + 1,
    1e16,
    1.7976931348623157e308,
]
SHARE = st.floats(1e-9, 0.999, exclude_max=True)


@st.composite
def policies(draw) -> PricePolicy:
    step, endings = draw(
        st.sampled_from(
            [
                (0.01, ()),
                (0.01, (0.99,)),
                (0.01, (0.99, 0.95, 0.0)),
                (0.05, (0.95,)),
                (1.0, ()),
                (1.0, (80.0, 98.0)),
                (0.0001, ()),
            ]
        )
    )
    low, high = sorted(draw(st.tuples(st.floats(0.5, 1.5), st.floats(0.5, 1.5))))
    return PricePolicy(
        objective=draw(st.sampled_from(["profit", "revenue", "units"])),
        min_margin=draw(st.none() | st.floats(0, 0.999)),
        respect_list_price=draw(st.booleans()),
        minimum_advertised=draw(st.booleans()),
        max_change=draw(st.none() | SHARE),
        reach=draw(st.floats(1.001, 10)),
        endings=endings,
        currency_step=step,
        competitor_band=draw(st.none() | st.just((low, high))),
        ladder=draw(st.booleans()),
        pace=draw(st.booleans()),
        exploration=draw(st.sampled_from(["none", "thompson", "epsilon"])),
        epsilon=draw(st.floats(0.01, 1)),
        epsilon_width=draw(SHARE),
        grid_size=draw(st.integers(2, 40)),
    )


def a_number(rng: np.random.Generator, around: float, missing: float, nasty: float) -> float | None:
    """Mostly near another number, sometimes not known, sometimes anything at all."""
    kind = rng.random()
    if kind < missing:
        return None
    if kind < missing + nasty:
        return NASTY[rng.integers(len(NASTY))] if rng.random() < 0.7 else float(rng.integers(0, 2**63).view(np.float64))
    value = around * rng.lognormal(0, 0.3)
    return round(value, 2) if rng.random() < 0.7 else value


def an_item(rng: np.random.Generator, number: int, nasty: float) -> PriceItem:
    family = None if rng.random() < 0.5 else int(rng.integers(4))
    # Of a family whose prices are near each other; else of any size.
    price = float(rng.lognormal(2.5, 2)) + 0.01 if family is None else 5.0 * 3**family
    return PriceItem(
        f"p{number}",
        current_price=a_number(rng, price, 0.01, nasty),
        cost=a_number(rng, price * 0.6, 0.1, nasty),
        list_price=a_number(rng, price * 1.3, 0.5, nasty),
        floor=a_number(rng, price * 0.7, 0.3, nasty),
        ceiling=a_number(rng, price * 1.4, 0.5, nasty),
        minimum_advertised_price=a_number(rng, price * 0.8, 0.7, nasty),
        competitor_price=a_number(rng, price, 0.5, nasty),
        stock=a_number(rng, 20.0, 0.5, nasty),
        periods_left=a_number(rng, 5.0, 0.5, nasty),
        family=None if family is None else f"f{family}",
        pack_size=None if rng.random() < 0.2 else float(rng.integers(1, 4)),
    )


def a_curve(rng: np.random.Generator, item: PriceItem, draws: int) -> DemandCurve:
    reference = item.current_price if item.current_price and 0 < item.current_price < np.inf else 10.0
    wild = rng.random() < 0.1
    spread = np.column_stack([rng.normal(2, 500 if wild else 1, draws), rng.lognormal(0.5, 20 if wild else 0.5, draws)])
    level, elasticity = float(rng.normal(2, 500 if wild else 1)), float(rng.lognormal(0.5, 20 if wild else 0.5))
    kind = "purchase" if rng.random() < 0.3 else "units"
    return DemandCurve(reference, level, elasticity, kind, float(rng.lognormal(3, 2)), spread)


def dec(number: float) -> Decimal:
    return Decimal(repr(float(number)))


def sane(item: PriceItem) -> bool:
    numbers = {name: value for name, value in vars(item).items() if name not in ("product_id", "family")}
    known = {name: value for name, value in numbers.items() if value is not None}
    positive = all(value > 0 or (value == 0 and name in ("cost", "stock")) for name, value in known.items())
    small = all(known.get(name, 0) <= 1e10 for name in ("current_price", "cost"))
    return "current_price" in known and all(map(isfinite, known.values())) and positive and small


def breaches(price: float, item: PriceItem, policy: PricePolicy) -> list[str]:
    """Rules that a new price breaks."""
    times, less = EXACT.multiply, EXACT.subtract
    new, now = dec(price), dec(item.current_price)
    has_margin = policy.min_margin is not None and item.cost is not None and item.cost > 0
    found = {
        "input": not sane(item),
        "step": new % dec(policy.currency_step) != 0 or new <= 0,
        "missing floor": item.floor is None and not has_margin,
        "floor": item.floor is not None and new < dec(item.floor),
        "margin": has_margin and times(new, less(Decimal(1), dec(policy.min_margin or 0))) < dec(item.cost or 0),
        "ceiling": item.ceiling is not None and new > dec(item.ceiling),
        "list": policy.respect_list_price and item.list_price is not None and new > dec(item.list_price),
        "advertised": policy.minimum_advertised
        and item.minimum_advertised_price is not None
        and new < dec(item.minimum_advertised_price),
    }
    if policy.max_change is not None:
        found["change"] = abs(less(new, now)) > times(dec(policy.max_change), now)
    else:
        found["reach"] = new > times(dec(policy.reach), now) or times(new, dec(policy.reach)) < now
    if policy.competitor_band and item.competitor_price is not None:
        low, high = (times(dec(ratio), dec(item.competitor_price)) for ratio in policy.competitor_band)
        found["competitor"] = not low <= new <= high
    return [rule for rule, broken in found.items() if broken]


def judge(items, policy, decisions) -> Counter:
    """Every decision keeps the price or keeps the rules."""
    seen: Counter = Counter()
    for item, decision in zip(items, decisions, strict=True):
        seen[decision.rule.split(":")[0]] += 1
        if decision.price is None:
            assert item.current_price is None or not 0 < item.current_price <= 1e10, (item, decision)
        elif decision.price != item.current_price:
            seen["changed"] += 1
            assert breaches(decision.price, item, policy) == [], (item, policy, decision)
        assert 0 < decision.propensity <= 1 + 1e-12
    if policy.ladder:
        judge_ladders(items, decisions)
    return seen


def judge_ladders(items, decisions) -> None:
    families: dict[str, list] = {}
    for item, decision in zip(items, decisions, strict=True):
        if item.family and item.pack_size is not None and decision.price is not None:
            families.setdefault(item.family, []).append((item, decision))
    for family in families.values():
        if any(decision.price != item.current_price for item, decision in family):
            assert not any(a.pack_size < b.pack_size and p.price > q.price for a, p in family for b, q in family), (
                family
            )


def test_10_000_generated_cases_keep_to_every_rule_and_replay_bit_for_bit(tmp_path, off):
    seen: Counter = Counter()
    log = DecisionLog(str(tmp_path / "log"))

    @settings(
        max_examples=BATCHES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(policies(), st.integers(0, 2**32), st.sampled_from([0.0, 0.0, 0.02, 0.2]), st.integers(0, 4))
    def cases(policy, seed, nasty, draws):
        rng = np.random.default_rng(seed)
        items = [an_item(rng, number, nasty) for number in range(BATCH)]
        curves = [a_curve(rng, item, draws) for item in items]
        decisions = decide_all(curves, items, policy, rng)
        seen.update(judge(items, policy, decisions))
        final = check_all(decisions, items, policy, off)
        # What is decided by the rules passes the guardrails: both understand them alike.
        assert final == decisions
        log.append(curves, items, policy, decisions, final)
        seen["cases"] += len(items)

    cases()
    assert seen["cases"] >= 10_000
    # The cases are of all sorts, and not only refusals.
    assert seen["changed"] > 2000 and seen["no change"] > 2000 and seen["exploration"] > 100
    assert {"floor", "margin", "max_change", "reach", "ceiling", "list_price", "competitor", "ladder"} <= seen.keys()
    assert replay(str(tmp_path / "log")) == []


def test_the_guardrails_let_no_wrong_price_through(off):
    """10,000 prices of nobody's choosing: each is refused or keeps to every rule."""
    passed: Counter = Counter()

    @settings(max_examples=BATCHES, deadline=None, database=None, derandomize=True)
    @given(policies(), st.integers(0, 2**32))
    def cases(policy, seed):
        rng = np.random.default_rng(seed)
        for number in range(BATCH):
            item = an_item(rng, number, 0.01)
            honest = decide_all([a_curve(rng, item, 0)], [item], PricePolicy())[0]
            wrong = replace(honest, price=a_number(rng, item.current_price or 1.0, 0.02, 0.1), rule="wrong")
            final = check(wrong, item, policy, off)
            if final.rule == "wrong" and final.price is not None and final.price != item.current_price:
                assert breaches(final.price, item, policy) == [], (item, policy, final)
            # The judge refuses no less than the guardrails do.
            passed[final.rule == "wrong"] += 1

    cases()
    assert passed.total() >= 10_000 and min(passed.values()) > 300
