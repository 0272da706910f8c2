import math
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from planogram.pricing.choose import decide, decide_all, decide_by
from planogram.pricing.curve import DemandCurve
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy

ITEM = PriceItem("p", 10.0, cost=6.0, floor=1.0)
DRAWS = np.asarray([[math.log(100), e] for e in (2.0, 2.0, 3.0, 4.0)])
CURVE = DemandCurve(10.0, math.log(100), 2.5, draws=DRAWS)
THOMPSON = PricePolicy(max_change=None, exploration="thompson")
EPSILON = PricePolicy(max_change=0.2, exploration="epsilon", epsilon=0.4, epsilon_width=0.03)
# Every part of [0, 1) as often.
EVENLY = [(n + 0.5) / 40 for n in range(40)]
ALL = list(product(EVENLY, EVENLY))


def by(policy, uniforms):
    """Decisions of the same product by different random numbers."""
    items = [replace(ITEM, product_id=f"p{n}") for n in range(len(uniforms))]
    return decide_by([CURVE] * len(items), items, policy, np.asarray(uniforms))


def test_thompson_takes_the_best_price_of_a_draw_as_often_as_it_is_best():
    decisions = by(THOMPSON, ALL)
    shares = Counter(decision.price for decision in decisions)
    # 6 e / (e - 1)
    assert sorted(shares) == pytest.approx([8, 9, 12], abs=0.15)
    assert sorted(shares.values()) == [400, 400, 800]
    for decision in decisions:
        assert decision.propensity == shares[decision.price] / 1600


def test_thompson_is_the_best_of_the_curve_with_this_draw():
    for number, decision in enumerate(by(THOMPSON, [(0.1, 0), (0.3, 0), (0.6, 0), (0.9, 0)])):
        assert decision.price == decide(CURVE.with_draw(number), ITEM, PricePolicy(max_change=None)).price


@pytest.mark.parametrize("policy", [THOMPSON, EPSILON])
def test_explored_means_another_price_than_the_best(policy):
    best = decide(CURVE, ITEM, policy.model_copy(update={"exploration": "none"})).price
    decisions = by(policy, ALL)
    assert all(decision.explored == (decision.price != best) for decision in decisions)
    assert all((decision.rule == "exploration") == decision.explored for decision in decisions)
    assert any(decision.explored for decision in decisions)


def test_epsilon_s_propensities_are_exact_and_sum_to_one():
    decisions = by(EPSILON, ALL)
    propensity = {decision.price: decision.propensity for decision in decisions}
    assert sum(propensity.values()) == pytest.approx(1)
    shares = Counter(decision.price for decision in decisions)
    for price, count in shares.items():
        assert count / len(decisions) == pytest.approx(propensity[price], abs=0.02)
    best = by(EPSILON, [(0.9, 0.0)])[0].price
    assert all(abs(price - best) <= 0.03 * best for price in propensity) and len(propensity) > 3


def test_in_a_family_one_explores_at_a_time_and_propensities_sum_to_one():
    policy = EPSILON.model_copy(update={"ladder": True, "epsilon": 1.0})
    uniforms = ALL
    items = [
        replace(ITEM, product_id=f"{n} {pack}", family=f"f{n}", pack_size=float(pack))
        for n in range(len(uniforms))
        for pack in (1, 2)
    ]
    found = decide_by([CURVE] * len(items), items, policy, np.asarray(uniforms))
    decisions = list(zip(found[::2], found[1::2], strict=True))
    assert all(one.price <= two.price and one.explored + two.explored < 2 for one, two in decisions)
    for place in (0, 1):
        propensity = {pair[place].price: pair[place].propensity for pair in decisions}
        assert len(propensity) > 2 and sum(propensity.values()) == pytest.approx(1)
        shares = Counter(pair[place].price for pair in decisions)
        assert all(shares[price] / len(decisions) == pytest.approx(p, abs=0.03) for price, p in propensity.items())


def test_a_product_that_keeps_its_price_does_not_explore():
    for policy in (THOMPSON, EPSILON.model_copy(update={"epsilon": 1.0})):
        decision = decide(CURVE, PriceItem("p", 10.0, cost=6.0), policy, np.random.default_rng(0))
        assert (decision.price, decision.propensity, decision.explored) == (10.0, 1.0, False)


def test_without_draws_thompson_takes_the_best():
    decision = decide(DemandCurve(10.0, 3.0, 3.0), ITEM, THOMPSON, np.random.default_rng(0))
    assert (decision.propensity, decision.explored) == (1.0, False)


def test_the_same_random_numbers_give_the_same_prices():
    items = [PriceItem(f"p{n}", 10.0, cost=6.0, floor=1.0) for n in range(20)]
    for policy in (THOMPSON, EPSILON):
        one, two = (decide_all([CURVE] * 20, items, policy, np.random.default_rng(5)) for _ in range(2))
        assert one == two
        assert len({decision.uniforms for decision in one}) == 20
        again = decide_by([CURVE] * 20, items, policy, np.asarray([decision.uniforms for decision in one]))
        assert again == one
