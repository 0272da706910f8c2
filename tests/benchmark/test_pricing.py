"""The market of a simulated shop answers as the simulator does, and a year of prices keeps to the rules."""

import numpy as np
import pandas as pd
import pytest

from planogram.benchmark.market import Market
from planogram.benchmark.pricing import _optimum, _profit, _year
from planogram.data.simulate.behaviour import attractiveness, examination, purchase_probability
from planogram.pricing.curve import DemandCurve
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy
from planogram.pricing.settings import BenchmarkPricingConfig


@pytest.fixture
def market():
    """Two products, the second twice as elastic, each seen at three positions."""
    facts = pd.DataFrame(
        {
            "reference_price": [10.0, 20.0],
            "ordinary_price": [10.0, 20.0],
            "elasticity": [1.5, 3.0],
            "intercept": [0.0, 0.0],
            "quality": [0.5, 0.5],
        },
        index=["a", "b"],
    )
    cells = pd.DataFrame(
        {
            "product": [0, 0, 0, 1, 1, 1],
            "position": [1, 2, 3, 1, 2, 3],
            "grade": [4, 4, 2, 4, 3, 3],
            "sensitivity": [1.0] * 6,
            "taste": [0.0] * 6,
        }
    )
    return Market(np.asarray(["a", "b"], dtype=object), np.full(2, 20_000.0), facts, cells, np.asarray([0, 3]))


def test_rates_are_means_over_a_products_impressions(market):
    one = np.ones(1)
    expected = [
        examination(np.asarray([p]))
        * attractiveness(np.asarray([g], dtype=np.int8), 0 * one, one, np.log(1.2) * one)
        * purchase_probability(
            np.asarray([g], dtype=np.int8), 0.5 * one, 0 * one, 0 * one, 1.5 * one, np.log(1.2) * one
        )
        for p, g in ((1, 4), (2, 4), (3, 2))
    ]
    assert market.rates(np.asarray([12.0, 20.0]))[0] == pytest.approx(np.mean(expected))


def test_the_more_elastic_product_loses_more_by_a_higher_price(market):
    low, high = market.rates(np.asarray([10.0, 20.0])), market.rates(np.asarray([12.0, 24.0]))
    falls = high / low
    assert falls[1] < falls[0] < 1


def test_nothing_beats_the_optimum(market):
    items = [PriceItem("a", 10.0, cost=6.0), PriceItem("b", 20.0, cost=12.0)]
    policy = PricePolicy(min_margin=0.05, max_change=0.3)
    best, costs = _optimum(market, items, policy), np.asarray([6.0, 12.0])
    for share in np.linspace(0.7, 1.3, 13):
        assert (_profit(market, np.asarray([10.0, 20.0]) * share, costs) <= best * 1.001).all()


@pytest.mark.parametrize("exploration", ["none", "thompson", "epsilon"])
def test_a_year_learns_and_breaks_no_rule(market, exploration):
    items = [PriceItem("a", 10.0, cost=6.0), PriceItem("b", 20.0, cost=12.0)]
    config = BenchmarkPricingConfig(
        bundle="b", shop="s", raw="r", weeks=30, policy=PricePolicy(min_margin=0.05, max_change=0.3)
    )
    best = _optimum(market, items, config.policy)
    rates = market.rates(np.asarray([10.0, 20.0]))
    # Both products are believed to be alike.
    told = [
        DemandCurve(price, float(np.log(rate / (1 - rate))), 2.2, "purchase", 20_000.0)
        for price, rate in zip((10.0, 20.0), rates, strict=True)
    ]
    year = _year(config, exploration, market, items, told, best)
    assert (year["breaches"], year["caught"]) == (0, 0)
    assert len(year["regret"]) == 30
    assert np.diff(year["regret"], prepend=0).min() > -1e-6 * best.sum()
    assert year["share_of_last_quarter"] > 0.95
