import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planogram.pricing import family
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.family import Ladder, climb, groups
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

WIDE = PricePolicy(max_change=None, ladder=True)


def member(name: str, pack: float | None, price: float = 10.0, **more) -> PriceItem:
    return PriceItem(name, price, **{"cost": 6.0, "floor": 1.0, "family": "soap", "pack_size": pack, **more})


def curve(elasticity: float, units: float = 100.0) -> DemandCurve:
    return DemandCurve(10.0, math.log(units), elasticity)


def test_products_are_decided_together_where_a_ladder_or_a_substitute_binds_them():
    items = [member("a", 1.0), member("b", None), member("c", 2.0), member("d", 1.0, family="tea"), member("e", 1.0)]
    assert groups(items, WIDE, None) == [[0, 2, 4], [1], [3]]
    assert groups(items, PricePolicy(), None) == [[0], [1], [2], [3], [4]]
    assert groups(items, PricePolicy(), {"d": {"b": 0.5, "unknown": 1.0}}) == [[0], [1, 3], [2], [4]]
    assert groups(items, WIDE, {"d": {"c": 0.5}}) == [[0, 2, 3, 4], [1]]


def test_packs_that_would_fall_meet_at_one_price():
    # Alone: 6 * 2 / 1 = 12 for the small pack, 6 * 4 / 3 = 8 for the big one.
    items, curves = [member("small", 1.0), member("big", 2.0)], [curve(2.0), curve(4.0)]
    alone = decide_all(curves, items, PricePolicy(max_change=None))
    assert [decision.price for decision in alone] == pytest.approx([12, 8], abs=0.15)
    small, big = decide_all(curves, items, WIDE)
    prices = np.arange(500, 2001) / 100
    sums = (prices - 6) * (curves[0].units(prices) + curves[1].units(prices))
    assert small.price == big.price == pytest.approx(prices[sums.argmax()], abs=0.15)
    assert small.rule == big.rule == "ladder"


def test_a_ladder_that_holds_anyway_changes_nothing():
    items, curves = [member("small", 1.0), member("big", 2.0)], [curve(4.0), curve(2.0)]
    alone = decide_all(curves, items, PricePolicy(max_change=None))
    assert decide_all(curves, items, WIDE) == alone


def test_packs_of_one_size_do_not_bind_each_other():
    items = [member("red", 1.0), member("blue", 1.0), member("big", 2.0)]
    red, blue, big = decide_all([curve(2.0), curve(4.0), curve(1.5)], items, WIDE)
    assert (red.price, blue.price) == pytest.approx((12, 8), abs=0.15) and big.price > 12


def test_a_product_that_keeps_its_price_holds_the_ladder():
    # The middle pack has no floor: the small one may not cost more than its 10, the big one not less.
    items = [member("small", 1.0), member("middle", 2.0, floor=None), member("big", 3.0)]
    small, middle, big = decide_all([curve(2.0), curve(2.0), curve(4.0)], items, WIDE)
    assert (small.price, middle.price, big.price) == (10.0, 10.0, 10.0)
    assert (small.rule, middle.rule, big.rule) == ("ladder", "no change: no floor", "ladder")


def test_a_family_that_cannot_rise_keeps_its_prices():
    items = [member("small", 1.0, price=12.0, floor=None), member("big", 2.0, ceiling=11.0)]
    small, big = decide_all([curve(3.0)] * 2, items, WIDE)
    assert (small.price, big.price) == (12.0, 10.0)
    assert small.rule == "no change: no floor"
    assert big.rule == "no change: ladder: no allowed prices rise with the pack size"


def test_a_family_with_too_many_prices_keeps_them(monkeypatch):
    monkeypatch.setattr(family, "MOST_LADDER_PRICES", 50)
    decisions = decide_all([curve(2.0), curve(4.0)], [member("small", 1.0), member("big", 2.0)], WIDE)
    assert [decision.price for decision in decisions] == [10.0, 10.0]
    assert all("at most 50; lower grid_size" in decision.rule for decision in decisions)


def test_a_price_that_is_none_holds_nothing():
    items = [member("broken", 1.0, price=math.nan), member("small", 2.0), member("big", 3.0)]
    broken, small, big = decide_all([curve(2.0)] * 3, items, WIDE)
    assert broken.price is None
    assert small.price == big.price == pytest.approx(12, abs=0.15)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    st.integers(2, 6),
    st.integers(0, 10**6),
)
def test_climbing_finds_what_trying_everything_finds(sizes, columns, seed):
    rng = np.random.default_rng(seed)
    prices = rng.integers(1, 9, (len(sizes), columns)).astype(float)
    values = rng.normal(size=prices.shape)
    for row, own in enumerate(prices):  # one value for one price
        values[row] = [values[row][own.tolist().index(price)] for price in own]
    packs = [tuple(row for row, size in enumerate(sizes) if size == wanted) for wanted in sorted(set(sizes))]
    assume(len(packs) > 1)

    def rising(chosen) -> bool:
        price = {row: prices[row, column] for row, column in enumerate(chosen)}
        pairs = [(a, b) for small, big in pairwise(packs) for a in small for b in big]
        return all(price[a] <= price[b] for a, b in pairs)

    tried = [chosen for chosen in product(range(columns), repeat=len(sizes)) if rising(chosen)]
    assume(tried)
    best = max(sum(values[row, column] for row, column in enumerate(chosen)) for chosen in tried)
    found = climb(prices, values, Ladder(tuple(packs)))
    assert rising([found[row] for row in range(len(sizes))])
    assert sum(values[row, column] for row, column in found.items()) == pytest.approx(best)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.integers(500, 1500), st.floats(1.1, 6.0), st.booleans()),
        min_size=2,
        max_size=5,
    ),
    st.sampled_from(["none", "epsilon", "thompson"]),
    st.integers(0, 100),
)
def test_families_rise_or_keep_their_prices(rows, exploration, seed):
    items = [
        replace(member(f"p{n}", pack, price=cents / 100), floor=None if fixed else 1.0)
        for n, (pack, cents, _, fixed) in enumerate(rows)
    ]
    rng = np.random.default_rng(seed)
    curves = [replace(curve(e), draws=np.column_stack([np.full(5, 4.0), rng.uniform(1, 5, 5)])) for *_, e, _ in rows]
    policy = PricePolicy(max_change=0.2, ladder=True, exploration=exploration, epsilon=1.0)
    decisions = decide_all(curves, items, policy, rng)
    moved = [decision.price != item.current_price for decision, item in zip(decisions, items, strict=True)]
    pairs = [(a, b) for a in range(len(items)) for b in range(len(items)) if items[a].pack_size < items[b].pack_size]
    assert not any(moved) or all(decisions[a].price <= decisions[b].price for a, b in pairs)
