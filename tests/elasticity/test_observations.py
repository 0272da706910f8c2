"""What elasticities are estimated from: the demand table, weeks of purchases, and clicks."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.events import clicked_purchases, weekly_units
from planogram.elasticity.observations import expand, load_observations, numbered_periods
from planogram.errors import DataError

DAY_US = 86_400_000_000
MONDAY = pd.Timestamp("2024-01-01", tz="UTC")


def purchases(*rows):
    """(day, product, price, quantity)"""
    days, products, prices, quantities = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "timestamp": [MONDAY + pd.Timedelta(days=day) for day in days],
            "product_id": products,
            "price": prices,
            "quantity": quantities,
        }
    )


def test_a_week_s_price_is_what_a_unit_brought_and_gaps_are_weeks_of_no_sale():
    rows = purchases((0, "a", 2.0, 1), (6, "a", 1.0, 3), (21, "a", 4.0, 2), (7, "b", 5.0, None))
    found = weekly_units(rows).set_index("product_id")
    assert found.loc["a", "period"].tolist() == [0, 1, 2, 3]
    assert found.loc["a", "units"].tolist() == [4.0, 0.0, 0.0, 2.0]
    assert found.loc["a", "price"].tolist() == [1.25, 1.25, 1.25, 4.0]
    assert found.loc["b"].tolist()[:3] == [1, 1.0, 5.0]


def test_the_median_price_of_a_week_is_that_of_orders():
    rows = purchases((0, "a", 2.0, 1), (1, "a", 2.0, 1), (2, "a", 1.0, 100))
    assert weekly_units(rows, "median")["price"].tolist() == [2.0]


def test_a_click_counts_as_bought_when_the_purchase_followed_on_the_same_page():
    rows = [
        ("click", 0, "a", "r1"),
        ("purchase", 1, "a", "r1"),
        ("click", 2, "a", "r1"),  # after the purchase
        ("click", 0, "b", "r1"),
        ("click", 0, "a", "r2"),
    ]
    events = pd.DataFrame(rows, columns=["event_type", "minute", "product_id", "ranking_id"])
    events["timestamp"] = [MONDAY + pd.Timedelta(minutes=minute) for minute in events["minute"]]
    found = clicked_purchases(events.assign(price=3.0, session_id=None))
    assert found["purchased"].tolist() == [1, 0, 0, 0]
    with pytest.raises(DataError, match="share neither"):
        clicked_purchases(events.assign(price=3.0, session_id=None, ranking_id=None))


def demand(**columns):
    size = max(map(len, columns.values()))
    return [{"product_id": "a", "price": 2.0, **{key: rows[n] for key, rows in columns.items()}} for n in range(size)]


def test_units_of_the_demand_table_go_before_purchases(make_shop):
    rows = demand(
        product_id=["a", "b", "a"],
        price=[1.0, np.e, 2.0],
        units=[3.0, 0.0, None],
        period=["10", "9", "10"],
        store=["s", None, "s"],
        features=[[("feat", "1")], [("feat", "0")], [("feat", "1")]],
    )
    found = load_observations(make_shop(demand=rows))
    assert (found.kind, found.outcome, found.features) == ("units", "units", ("feat",))
    assert found.left_out == {"no units": 1}
    frame = found.frame
    assert frame["log_price"].tolist() == [0.0, 1.0]
    assert frame["period"].tolist() == [1, 0]  # by value, not by letters
    assert frame["store"].tolist() == ["s", ""]
    assert frame["choice_set"].tolist() == [0, 1]
    assert frame["feat"].tolist() == [1.0, 0.0]


def test_choices_are_grouped_by_household(make_shop):
    sets = ["tea/7/1", "tea/7/1", "tea/7/2", "tea/7/2", "tea/8/1", "tea/8/1"]
    rows = demand(product_id=list("ababab"), chosen=[1, 0, 0, 1, 1, 0], choice_set=sets)
    found = load_observations(make_shop(demand=rows))
    assert found.kind == "choice"
    assert found.frame["choice_set"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found.frame["group"].tolist() == [0, 0, 0, 0, 1, 1]


def test_purchases_of_the_catalogue_s_best_sellers(make_shop):
    events = [
        {
            "event_id": f"{product}{number}",
            "timestamp": 1_704_067_200_000_000 + number * DAY_US,
            "event_type": kind,
            "product_id": product,
            "price": price,
            "quantity": quantity,
        }
        for number, (product, kind, price, quantity) in enumerate(
            [
                ("a", "purchase", 2.0, 5),
                ("a", "cancellation", 2.0, -5),
                ("b", "purchase", 2.0, 1),
                ("postage", "purchase", 2.0, 90),
                ("a", "purchase", 0.0, 90),
            ]
        )
    ]
    shop = make_shop(products=[{"product_id": name, "title": name} for name in "ab"], interactions=events)
    frame = load_observations(shop, best_sellers=1).frame
    assert frame[["product_id", "units"]].to_numpy().tolist() == [["a", 5.0]]
    assert set(load_observations(shop).frame["product_id"]) == {"a", "b"}


def test_a_shop_that_sells_nothing_says_so(make_shop):
    with pytest.raises(DataError, match="nothing of prices"):
        load_observations(make_shop(products=[{"product_id": "a", "title": "a"}]))
    with pytest.raises(DataError, match="no choices"):
        load_observations(make_shop(demand=demand(units=[1.0])), "choice")


def test_features_are_numbers():
    assert expand(pd.Series([[("a", "1")], None]))["a"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="features colour have values"):
        expand(pd.Series([[("colour", "red")]]))


def test_a_feature_may_not_have_the_name_of_a_column(make_shop):
    with pytest.raises(DataError, match="features price have the name"):
        load_observations(make_shop(demand=demand(units=[1.0], features=[[("price", "1")]])))


def test_periods_in_words_are_in_the_order_of_their_letters():
    assert numbered_periods(pd.Series(["2018-02", "2017-12", "2018-02"])).tolist() == [1, 0, 1]
    assert numbered_periods(pd.Series([None, None])).tolist() == [0, 0]
    with pytest.raises(DataError, match="others none"):
        numbered_periods(pd.Series(["1", None]))
