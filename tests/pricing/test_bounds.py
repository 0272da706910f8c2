import math
from dataclasses import replace

import pytest

from planogram.pricing.bounds import Bounds, NoChange, bounds
from planogram.pricing.item import AMOUNTS, QUANTITIES, PriceItem
from planogram.pricing.policy import PricePolicy

ITEM = PriceItem("p", current_price=10.0, cost=6.0, floor=5.0)
WIDE = PricePolicy(max_change=None)


def named(item: PriceItem, **policy) -> tuple[int, str, int, str]:
    found = bounds(item, PricePolicy(**{"max_change": None, **policy}))
    assert isinstance(found, Bounds), found
    return found.low_steps, found.low_rule, found.high_steps, found.high_rule


def reason(item: PriceItem, policy: PricePolicy = WIDE) -> str:
    found = bounds(item, policy)
    assert isinstance(found, NoChange), found
    return found.reason


def test_the_tightest_rule_sets_a_limit_and_is_named():
    assert named(ITEM) == (500, "floor", 2000, "reach")
    assert named(ITEM, min_margin=0.25) == (800, "margin", 2000, "reach")
    assert named(ITEM, max_change=0.1) == (900, "max_change", 1100, "max_change")
    item = replace(ITEM, list_price=12.0, ceiling=11.5, minimum_advertised_price=9.5, competitor_price=10.0)
    assert named(item) == (950, "minimum_advertised", 1150, "ceiling")
    assert named(item, competitor_band=(0.96, 1.02)) == (960, "competitor", 1020, "competitor")


def test_rules_of_others_can_be_switched_off():
    item = replace(ITEM, list_price=12.0, minimum_advertised_price=9.5)
    assert named(item) == (950, "minimum_advertised", 1200, "list_price")
    assert named(item, respect_list_price=False, minimum_advertised=False) == (500, "floor", 2000, "reach")


def test_a_margin_is_exact():
    # In binary 7 / (1 - 0.3) is above 10; the price is exactly 10.
    assert named(replace(ITEM, floor=None, cost=7.0), min_margin=0.3)[:2] == (1000, "margin")


def test_a_window_is_exact():
    # In binary 1.1 * 10.1 is above 11.11.
    assert named(replace(ITEM, current_price=10.1), max_change=0.1)[2:] == (1111, "max_change")


def test_limits_between_two_steps_are_rounded_to_the_inside():
    assert named(replace(ITEM, floor=5.001, ceiling=11.999))[0::2] == (501, 1199)
    assert named(replace(ITEM, floor=5.001, ceiling=11.999), currency_step=1.0)[0::2] == (6, 11)


@pytest.mark.parametrize(
    ("item", "policy"),
    [
        (replace(ITEM, floor=None), WIDE),
        (replace(ITEM, floor=None, cost=None), PricePolicy(min_margin=0.2, objective="revenue")),
        (replace(ITEM, floor=None, cost=0.0), PricePolicy(min_margin=0.2)),
        (replace(ITEM, floor=None, minimum_advertised_price=9.0), WIDE),
    ],
)
def test_a_missing_floor_means_no_change(item, policy):
    assert reason(item, policy) == "no floor"


def test_profit_needs_a_cost():
    assert "no cost" in reason(replace(ITEM, cost=None))
    assert named(replace(ITEM, cost=None), objective="revenue")[:2] == (500, "floor")


def test_a_contradiction_names_both_rules_and_what_the_price_breaks():
    found = reason(replace(ITEM, floor=12.0, ceiling=11.0))
    assert (
        found == "contradiction: at least 12.0 by floor, at most 11.0 by ceiling; 10.0 stays, although it breaks floor"
    )
    far = reason(replace(ITEM, current_price=20.0, ceiling=11.0), PricePolicy())
    assert "at least 18.0 by max_change, at most 11.0 by ceiling" in far and "20.0 stays" in far


def test_a_window_without_any_step_is_a_contradiction():
    assert "contradiction" in reason(replace(ITEM, current_price=0.055, floor=0.01), PricePolicy(max_change=0.01))


@pytest.mark.parametrize("name", AMOUNTS + QUANTITIES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_every_number_must_be_one(name, value):
    assert f"{name} is {value}" in reason(replace(ITEM, **{name: value}))


@pytest.mark.parametrize("name", sorted({*AMOUNTS, *QUANTITIES} - {"cost", "stock"}))
def test_only_cost_and_stock_may_be_zero(name):
    assert f"{name} is 0.0" in reason(replace(ITEM, **{name: 0.0}))


def test_zero_cost_and_stock_are_known():
    assert named(replace(ITEM, cost=0.0, stock=0.0))[:2] == (500, "floor")


def test_a_price_must_be_there_and_countable():
    assert reason(replace(ITEM, current_price=None)) == "current_price is missing"
    assert "above 1e+10" in reason(replace(ITEM, current_price=1e11))
    assert named(replace(ITEM, ceiling=1e300))[2:] == (2000, "reach")


def test_a_limit_beyond_all_floats_contradicts_in_words():
    policy = PricePolicy(competitor_band=(1.5, 1.5))
    found = bounds(replace(ITEM, competitor_price=1.7e308), policy)
    assert isinstance(found, NoChange)
    assert "at least more than 1e+10 by competitor" in found.reason
