import math
from dataclasses import replace

import numpy as np
import pytest

from planogram.errors import ConfigError, DataError
from planogram.pricing import choose
from planogram.pricing.choose import decide, decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

ITEM = PriceItem("p", current_price=10.0, cost=8.0, floor=1.0)
FINE = PricePolicy(max_change=None, reach=10.0, grid_size=1000)


def curve(elasticity=3.0, units=100.0, **more) -> DemandCurve:
    """Units at the price of 10."""
    return DemandCurve(10.0, math.log(units), elasticity, **more)


@pytest.mark.parametrize(("elasticity", "best"), [(2.0, 16.0), (3.0, 12.0), (5.0, 10.0)])
def test_the_best_price_of_a_constant_elasticity_is_cost_e_over_e_less_one(elasticity, best):
    decision = decide(curve(elasticity), ITEM, FINE)
    # The grid's prices are a tenth apart.
    assert decision.price == pytest.approx(best, abs=0.06)
    assert decision.rule == "optimum"
    assert decision.bounds == (1.0, 100.0)


def test_what_is_expected_is_at_the_chosen_price():
    decision = decide(curve(3.0), replace(ITEM, floor=12.0, ceiling=12.0), FINE)
    assert decision.price == 12.0 and decision.rule == "floor"
    assert decision.expected_units == pytest.approx(100 / 1.2**3)
    assert decision.expected_profit == pytest.approx(4 * 100 / 1.2**3)
    assert (decision.interval, decision.propensity, decision.explored, decision.elasticity) == (None, 1.0, False, 3.0)


def test_inelastic_demand_goes_to_the_ceiling():
    assert decide(curve(0.8), replace(ITEM, ceiling=30.0), FINE).price == 30.0
    decision = decide(curve(0.8), replace(ITEM, list_price=25.0, ceiling=30.0), FINE)
    assert (decision.price, decision.rule) == (25.0, "list_price")


def test_elastic_revenue_and_units_go_to_the_floor():
    for objective in ("revenue", "units"):
        policy = FINE.model_copy(update={"objective": objective})
        decision = decide(curve(2.0), replace(ITEM, floor=7.03, cost=None), policy)
        assert (decision.price, decision.rule, decision.expected_profit) == (7.03, "floor", None)


def test_of_equal_prices_the_current_one_stays():
    # Revenue is the same at every price where the elasticity is 1.
    policy = FINE.model_copy(update={"objective": "revenue"})
    for current in (10.0, 13.37):
        assert decide(curve(1.0), replace(ITEM, current_price=current), policy).price == current


def test_the_nearest_of_equal_prices_is_taken_where_the_current_one_is_not_allowed():
    policy = PricePolicy(objective="revenue", max_change=None, endings=(0.99,))
    assert decide(curve(1.0), replace(ITEM, current_price=10.4), policy).price == 9.99
    assert decide(curve(1.0), replace(ITEM, current_price=10.6), policy).price == 10.99


def test_a_purchase_has_its_best_price_where_its_slope_is_none():
    bought = DemandCurve(10.0, 1.0, 4.0, "purchase", exposure=1000.0)
    price = decide(bought, ITEM, FINE).price
    # d/dp (p - c) s(p) = 0: p = c + p / (e (1 - s))
    share = float(bought.units(np.asarray([price]))[0]) / 1000
    assert price == pytest.approx(8 + price / (4 * (1 - share)), abs=0.15)


def test_the_expectation_is_over_draws():
    draws = np.asarray([[math.log(100), 1.5], [math.log(100), 6.0]])
    decision = decide(curve(3.0, draws=draws), ITEM, FINE)
    prices = np.arange(100, 10001) / 100
    wanted = prices[((prices - 8) * curve(3.0, draws=draws).units_draws(prices)).mean(axis=0).argmax()]
    assert decision.price == pytest.approx(wanted, abs=0.06)
    at = curve(3.0, draws=draws).units_draws(np.asarray([decision.price, 10.0]))
    changes = sorted((decision.price - 8) * at[:, 0] - 2 * at[:, 1])
    assert decision.expected_units == pytest.approx(at[:, 0].mean())
    assert decision.interval == pytest.approx(
        (changes[0] + 0.1 * (changes[1] - changes[0]), changes[0] + 0.9 * (changes[1] - changes[0]))
    )


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (replace(ITEM, floor=None), "no floor"),
        (replace(ITEM, floor=12.0, ceiling=11.0), "contradiction: at least 12.0 by floor, at most 11.0 by ceiling"),
        (replace(ITEM, stock=math.nan), "stock is nan"),
    ],
)
def test_no_change_keeps_the_price_and_says_why(item, reason):
    decision = decide(curve(), item, FINE)
    assert (decision.price, decision.current_price, decision.bounds) == (10.0, 10.0, None)
    assert decision.rule.startswith(f"no change: {reason}")
    assert (decision.expected_units is None) == (item.stock is not None)


@pytest.mark.parametrize("price", [None, math.nan, math.inf, -5.0, 0.0])
def test_what_is_no_price_is_not_repeated(price):
    decision = decide(curve(), replace(ITEM, current_price=price), FINE)
    assert decision.price is None and decision.current_price is None and decision.expected_units is None
    assert decision.rule.startswith("no change: current_price is ")


def test_endings():
    policy = PricePolicy(max_change=None, endings=(0.99, 0.95))
    assert decide(curve(3.0), ITEM, policy).price == 11.99
    assert decide(curve(3.0), replace(ITEM, ceiling=11.98), policy).price == 11.95
    # 10.00 is no longer a price of this shop.
    assert decide(curve(5.0), ITEM, policy).price == 9.99


def test_where_no_ending_fits_any_step_does_and_the_rule_says_so():
    policy = PricePolicy(max_change=None, endings=(0.99,))
    decision = decide(curve(3.0), replace(ITEM, floor=10.0, ceiling=10.9), policy)
    assert decision.price == 10.9
    assert decision.rule == "ceiling (no price with an ending of the policy)"
    stays = decide(curve(5.0), replace(ITEM, floor=10.0, ceiling=10.9), policy)
    assert stays.price == 10.0


def test_pace_sells_what_there_is_until_the_day():
    # 100 units a period at 10, 20 to sell in each: at elasticity 3 the price is 10 * 5^(1/3).
    policy = FINE.model_copy(update={"pace": True, "objective": "revenue"})
    decision = decide(curve(3.0), replace(ITEM, stock=80.0, periods_left=4.0), policy)
    assert decision.price == pytest.approx(10 * 5 ** (1 / 3), abs=0.1)
    assert decision.rule == "pace"
    assert decision.expected_units == pytest.approx(20, rel=0.03)
    assert decision.expected_units <= 20


def test_pace_does_not_matter_where_stock_or_day_are_not_known_or_enough():
    policy = FINE.model_copy(update={"pace": True})
    free = decide(curve(3.0), ITEM, policy)
    for known in ({"stock": 80.0}, {"periods_left": 4.0}, {"stock": 1e6, "periods_left": 4.0}):
        paced = decide(curve(3.0), replace(ITEM, **known), policy)
        assert (paced.price, paced.rule) == (free.price, free.rule)


def test_without_stock_the_price_stays():
    policy = FINE.model_copy(update={"pace": True})
    decision = decide(curve(3.0), replace(ITEM, stock=0.0, periods_left=4.0), policy)
    assert (decision.price, decision.expected_units) == (10.0, 0.0)


def test_a_batch_is_its_items_one_by_one_bit_for_bit(monkeypatch):
    rng = np.random.default_rng(0)
    prices = np.round(rng.lognormal(3, 1, 300) + 1, 2).tolist()
    items = [PriceItem(f"p{n}", price, cost=round(price * 0.7, 2), floor=0.01) for n, price in enumerate(prices)]
    draws = rng.normal([2.0, 3.0], [0.5, 0.3], (300, 7, 2))
    curves = [DemandCurve(price, 2.0, 3.0, draws=abs(own)) for price, own in zip(prices, draws, strict=True)]
    whole = decide_all(curves, items, PricePolicy())
    monkeypatch.setattr(choose, "PART_NUMBERS", 7 * 65 * 11)
    assert decide_all(curves, items, PricePolicy()) == whole
    assert [decide(*pair, PricePolicy()) for pair in zip(curves, items, strict=True)] == whole


def test_an_empty_batch():
    assert decide_all([], [], PricePolicy()) == []


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(DataError, match="1 curves of 2 items"):
        decide_all([curve()], [ITEM, replace(ITEM, product_id="q")], FINE)
    with pytest.raises(DataError, match="named twice"):
        decide_all([curve()] * 2, [ITEM, ITEM], FINE)
    with pytest.raises(DataError, match=r"\[0, 1\] draws"):
        decide_all([curve(), curve(draws=np.ones((1, 2)))], [ITEM, replace(ITEM, product_id="q")], FINE)
    with pytest.raises(ConfigError, match="without random numbers"):
        decide(curve(), ITEM, PricePolicy(exploration="epsilon"))
