import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from planogram.serve.index.facets import MAX_VALUES, count_facets
from planogram.serve.values import RangeCount, ValueCount


def test_values_come_by_how_many_products_have_them_and_missing_ones_do_not_count():
    products = pd.DataFrame({"brand": ["B", "A", None, "A", "C"], "price": [1.0] * 5})
    assert count_facets(products, ["brand"]) == {"brand": [ValueCount("A", 2), ValueCount("B", 1), ValueCount("C", 1)]}


def test_no_more_values_than_people_read():
    products = pd.DataFrame({"category": [str(number) for number in range(100)]})
    assert len(count_facets(products, ["category"])["category"]) == MAX_VALUES


def test_nothing_found_has_no_values():
    products = pd.DataFrame({"brand": [], "price": []})
    assert count_facets(products, ["brand", "price"]) == {"brand": [], "price": []}


def test_one_price_is_one_band():
    assert count_facets(pd.DataFrame({"price": [5.0, 5.0, None]}), ["price"]) == {"price": [RangeCount(5.0, 5.0, 2)]}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_bands_hold_every_price_once(prices):
    bands = count_facets(pd.DataFrame({"price": prices}), ["price"])["price"]
    assert sum(band.count for band in bands) == len(prices)
    assert bands[0].min == min(prices) and bands[-1].max == max(prices)
    for band in bands:
        inside = [p for p in prices if band.min <= p < band.max or p == band.max == max(prices) or p == band.min]
        assert band.count == len(inside)


def test_bands_hold_about_as_many_products_each():
    prices = np.random.default_rng(0).lognormal(3, 1, 1000)
    bands = count_facets(pd.DataFrame({"price": prices}), ["price"])["price"]
    assert len(bands) == 5 and min(band.count for band in bands) > 150
