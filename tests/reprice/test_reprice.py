"""A catalogue as items, and what is reported of its prices. tests/train/test_demand.py prices a whole one."""

import math

import numpy as np
import pandas as pd
import pytest

from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision
from planogram.pricing.item import PriceItem
from planogram.pricing.settings import RepriceConfig
from planogram.reprice.catalogue import items_of
from planogram.reprice.report import Effect, plot, report


def config(**more):
    return RepriceConfig(demand="d", shop="s", out="o", **more)


@pytest.fixture
def products():
    return pd.DataFrame(
        {
            "product_id": ["a", "b"],
            "price": [10.0, np.nan],
            "cost": [4.0, 2.0],
            "list_price": [None, 12.0],
            "stock": [3, 0],
            "attributes": [[("line", "soap"), ("grams", "100")], None],
        }
    )


def test_a_product_is_an_item_with_what_the_shop_knows(products):
    first, second = items_of(products, config(family="line", pack_size="grams"))
    assert first == PriceItem("a", 10.0, cost=4.0, stock=3.0, family="soap", pack_size=100.0)
    assert second == PriceItem("b", None, cost=2.0, list_price=12.0, stock=0.0)


def test_an_attribute_that_no_product_has_is_refused_with_those_there_are(products):
    from planogram.errors import DataError

    with pytest.raises(DataError, match="grams, line"):
        items_of(products, config(family="size"))


def decision(price, current, rule="optimum"):
    return Decision("a", price, current, 1.0, None, None, 2.0, None, rule)


def test_the_effect_is_the_sum_of_products_under_each_member():
    draws = np.asarray([[math.log(8.0), 1.0], [math.log(12.0), 3.0]])
    curve = DemandCurve(10.0, math.log(10.0), 2.0, draws=draws)
    item = PriceItem("a", 10.0, cost=4.0)
    effect = Effect.of([item, item], [curve, curve], [decision(12.5, 10.0), decision(12.5, 10.0)])
    # 8 and 12 units at 10; 8 * 0.8 and 12 * 0.8^3 at 12.50; two products.
    np.testing.assert_allclose(effect.before, 2 * np.asarray([10.0, 100.0, 60.0]))
    after = (8 * 0.8 + 12 * 0.8**3) / 2
    np.testing.assert_allclose(effect.after, 2 * after * np.asarray([1.0, 12.5, 8.5]))
    np.testing.assert_allclose(effect.changes[:, 0], [2 * (6.4 - 8), 2 * (12 * 0.512 - 12)])


def test_the_report_counts_what_bound_the_prices():
    effect = Effect(np.ones(3), np.full(3, 1.5), np.asarray([[0.4, 0.5, 0.6], [0.6, 0.5, 0.4]]))
    rows = [
        decision(11.0, 10.0),
        decision(9.0, 10.0, "max_change"),
        decision(10.0, 10.0, "no change: contradiction: at least 12 by floor, at most 11 by ceiling; 10.0 stays"),
    ]
    found = report(rows, effect)
    assert (found["products"], found["changed"], found["raised"]) == (3, 2, 1)
    assert found["rules"] == {"optimum": 1, "max_change": 1, "no change: contradiction": 1}
    assert found["expected"]["profit"]["change"] == pytest.approx(0.5)
    assert found["expected"]["units"]["interval"] == pytest.approx([0.42, 0.58])
    assert plot(rows, effect).startswith(b"\x89PNG")
