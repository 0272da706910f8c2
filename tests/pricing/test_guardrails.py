import math
from dataclasses import replace

import pytest

from planogram.pricing.decision import Decision
from planogram.pricing.guardrails import check, check_all
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

ITEM = PriceItem(
    "p",
    current_price=10.0,
    cost=6.0,
    list_price=14.0,
    floor=7.0,
    ceiling=13.0,
    minimum_advertised_price=8.0,
    competitor_price=10.0,
    stock=5.0,
    periods_left=2.0,
)
POLICY = PricePolicy(min_margin=0.25, max_change=0.5, competitor_band=(0.7, 1.4))


def decided(price: float | None, product_id: str = "p") -> Decision:
    return Decision(product_id, price, 10.0, 3.0, 9.0, (0.0, 1.0), 2.0, (8.0, 13.0), "optimum", 0.5, True, (0.1, 0.2))


def broken(price, item=ITEM, policy=POLICY, off=None) -> str:
    """The rule that the guardrails name; the current price stays and nothing is expected of it."""
    found = check(decided(price), item, policy, off)
    assert found.price == found.current_price == 10.0
    assert (found.expected_units, found.expected_profit, found.interval) == (None, None, None)
    assert (found.propensity, found.explored, found.uniforms) == (1.0, False, None)
    return found.rule.removeprefix("guardrail: ")


@pytest.mark.parametrize("price", [8.0, 9.99, 12.5, 13.0])
def test_a_price_within_all_rules_passes_as_it_is(price, off):
    assert check(decided(price), ITEM, POLICY, off) == decided(price)


@pytest.mark.parametrize(
    ("price", "change", "rule"),
    [
        (6.99, {}, "floor"),
        (7.99, {"floor": 1.0}, "margin"),
        (7.99, {"floor": 1.0, "cost": 1.0}, "minimum_advertised"),
        (13.01, {}, "ceiling"),
        (14.01, {"ceiling": None, "competitor_price": None}, "list_price"),
        (14.01, {"ceiling": None, "list_price": None}, "competitor"),
        (8.39, {"competitor_price": 12.0}, "competitor"),
        (15.01, {"ceiling": None, "list_price": None, "competitor_price": None}, "max_change"),
        (9.0, {"floor": None, "cost": None}, "no floor"),
        (9.0, {"floor": None, "cost": 0.0}, "no floor"),
        (9.0, {"cost": None}, "no cost"),
        (9.005, {}, "off the currency's step"),
        (9.000000000000002, {}, "off the currency's step"),
    ],
)
def test_every_rule_is_looked_at_again(price, change, rule, off):
    assert broken(price, replace(ITEM, **change), off=off) == rule


@pytest.mark.parametrize("price", [math.nan, math.inf, -9.0, 0.0, None])
def test_what_is_no_price_never_passes(price, off):
    assert broken(price, off=off) == "the price is none"


@pytest.mark.parametrize("name", ["cost", "list_price", "floor", "ceiling", "stock", "competitor_price", "pack_size"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_nothing_passes_of_a_product_with_a_number_that_is_none(name, value, off):
    assert broken(9.0, replace(ITEM, **{name: value}), off=off) == "a number of the product is none"


@pytest.mark.parametrize("current", [None, math.nan, 0.0])
def test_nothing_passes_without_a_current_price(current, off):
    found = check(decided(9.0), replace(ITEM, current_price=current), POLICY, off)
    assert found.price is None and found.rule.startswith("guardrail: ")


def test_reach_stands_in_for_the_largest_change(off):
    policy, item = PricePolicy(max_change=None, reach=1.25), PriceItem("p", 10.0, cost=6.0, floor=1.0)
    assert check(decided(8.0), item, policy, off).price == 8.0
    assert check(decided(12.5), item, policy, off).price == 12.5
    assert broken(7.99, item, policy, off) == broken(12.51, item, policy, off) == "reach"


def test_the_current_price_stays_even_where_it_breaks_a_rule(off):
    item = replace(ITEM, floor=12.0)
    assert check(decided(10.0), item, POLICY, off) == decided(10.0)


def test_the_current_price_is_the_product_s_and_not_the_decision_s(off):
    found = check(replace(decided(12.0), current_price=12.0), ITEM, PricePolicy(), off)
    assert (found.price, found.rule) == (10.0, "guardrail: max_change")


def test_a_decision_of_another_product_is_refused(off):
    found = check(decided(9.0, "q"), ITEM, POLICY, off)
    assert (found.product_id, found.price, found.rule) == ("p", 10.0, "guardrail: a price of q")


def test_the_kill_switch_keeps_every_price(on):
    found = check_all([decided(9.0)], [ITEM], POLICY, on)[0]
    assert (found.price, found.rule, found.expected_units) == (10.0, "kill switch", None)


def test_a_family_that_falls_keeps_all_its_prices(off):
    policy = POLICY.model_copy(update={"ladder": True})
    items = [replace(ITEM, product_id=f"p{n}", family="f", pack_size=float(n)) for n in (1, 2, 3)]
    rising = [decided(price, f"p{n}") for n, price in ((1, 9.0), (2, 9.0), (3, 9.5))]
    assert check_all(rising, items, policy, off) == rising
    falling = [rising[0], replace(rising[1], price=8.99), rising[2]]
    assert check_all(falling, items, POLICY, off) == falling
    found = check_all(falling, items, policy, off)
    assert [decision.price for decision in found] == [10.0, 10.0, 10.0]
    assert {decision.rule for decision in found} == {"guardrail: ladder"}


def test_a_member_that_is_refused_takes_a_falling_family_with_it(off):
    policy = POLICY.model_copy(update={"ladder": True})
    items = [replace(ITEM, product_id=f"p{n}", family="f", pack_size=float(n)) for n in (1, 2)]
    # The small pack goes back to 10, above the 9.5 of the big one.
    found = check_all([decided(6.0, "p1"), decided(9.5, "p2")], items, policy, off)
    assert [decision.price for decision in found] == [10.0, 10.0]
