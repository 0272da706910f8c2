import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planogram.errors import DataError
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

POLICY = PricePolicy(max_change=None, grid_size=200)
ITEMS = [PriceItem(name, 10.0, cost=6.0, floor=1.0) for name in ("a", "b")]
CURVES = [DemandCurve(10.0, math.log(100), elasticity) for elasticity in (3.0, 4.0)]


def profit(prices, cross: float) -> float:
    """Of both products, demand of each rising with the other's price."""
    a, b = prices
    one = (a - 6) * 100 * (a / 10) ** -3 * (b / 10) ** cross
    return one + (b - 6) * 100 * (b / 10) ** -4 * (a / 10) ** cross


def test_without_cross_effects_nothing_changes():
    alone = decide_all(CURVES, ITEMS, POLICY)
    assert decide_all(CURVES, ITEMS, POLICY, substitutes={"a": {"b": 0.0}}) == alone
    assert decide_all(CURVES, ITEMS, POLICY, substitutes={"a": {"unknown": 1.0}, "other": {"a": 1.0}}) == alone


def test_substitutes_are_dearer_together_than_alone_and_the_best_of_the_grid():
    cross = {"a": {"b": 0.8}, "b": {"a": 0.8}}
    alone = decide_all(CURVES, ITEMS, POLICY)
    a, b = decide_all(CURVES, ITEMS, POLICY, substitutes=cross)
    assert a.price > alone[0].price and b.price > alone[1].price
    assert a.rule == b.rule == "substitutes"
    prices = [5 + n * 0.075 for n in range(201)]
    best = max(profit((p, q), 0.8) for p in prices for q in prices)
    assert profit((a.price, b.price), 0.8) == pytest.approx(best, rel=1e-3)


def test_what_is_expected_counts_the_other_s_price():
    a, b = decide_all(CURVES, ITEMS, POLICY, substitutes={"a": {"b": 0.8}, "b": {"a": 0.8}})
    assert a.expected_profit + b.expected_profit == pytest.approx(profit((a.price, b.price), 0.8))


def test_a_product_that_keeps_its_price_moves_nobody_but_is_moved():
    items = [ITEMS[0], replace(ITEMS[1], floor=None)]
    a, b = decide_all(CURVES, items, POLICY, substitutes={"b": {"a": 0.8}})
    assert b.price == 10.0 and b.rule == "no change: no floor"
    # Its profit grows with the price of a, which therefore is dearer than alone.
    assert a.price > decide_all(CURVES, items, POLICY)[0].price
    assert b.expected_units == pytest.approx(100 * (a.price / 10) ** 0.8)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["profit", "revenue"]))
def test_no_single_change_improves_the_sum(seed, pace, objective):
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    cost, stock = rng.uniform(4, 8, 3).round(2).tolist(), rng.uniform(20, 200, 3).tolist()
    items = [
        PriceItem(n, 10.0, cost=c, floor=1.0, stock=s, periods_left=2.0)
        for n, c, s in zip(names, cost, stock, strict=True)
    ]
    elasticity = rng.uniform(1.5, 5, 3)
    cross = rng.uniform(-0.3, 0.8, (3, 3))
    policy = PricePolicy(max_change=0.3, grid_size=20, pace=pace, objective=objective)
    substitutes = {n: {m: cross[i, j].item() for j, m in enumerate(names) if i != j} for i, n in enumerate(names)}
    decisions = decide_all(
        [DemandCurve(10.0, 4.0, e.item()) for e in elasticity], items, policy, substitutes=substitutes
    )

    def total(prices) -> float:
        logs = np.log(np.asarray(prices) / 10)
        off = cross - np.diag(np.diag(cross))
        units = np.exp(4.0 - elasticity * logs + off @ logs)
        sold = np.minimum(units, np.asarray(stock) / 2) if pace else units
        return float(((np.asarray(prices) - (np.asarray(cost) if objective == "profit" else 0)) * sold).sum())

    chosen = [decision.price for decision in decisions]
    for place in range(3):
        for price in [7 + 6 * n / 19 for n in range(20)]:
            other = [*chosen[:place], math.floor(price * 100) / 100, *chosen[place + 1 :]]
            assert total(other) <= total(chosen) * (1 + 1e-6)


@pytest.mark.parametrize("wrong", [{"a": {"b": math.nan}}, {"a": {"a": 1.0, "b": 1.0}}])
def test_what_is_no_cross_elasticity_is_refused(wrong):
    with pytest.raises(DataError, match="cross elasticity"):
        decide_all(CURVES, ITEMS, POLICY, substitutes=wrong)
