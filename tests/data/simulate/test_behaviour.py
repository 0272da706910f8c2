"""What shoppers do follows the stated model: position bias, grades, tastes, prices."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from planogram.config import SimulateConfig
from planogram.data.simulate.behaviour import BUY_LOGITS, CLICK_LOGITS, attractiveness, examination

from .conftest import Export

CELL = ["ranking_id", "product_id"]


@pytest.fixture(scope="module")
def shown(shop):
    """Impressions, with what became of them and what is true of them."""
    events = shop["interactions"]
    cells = events[events["event_type"] == "impression"].set_index(CELL)
    for kind in ("click", "cart", "purchase"):
        hit = events.loc[events["event_type"] == kind].set_index(CELL).index
        assert hit.is_unique
        cells[kind] = cells.index.isin(hit)
    cells = cells.reset_index().merge(shop["truth/grades"], how="left", on=["query", "product_id"])
    cells["grade"] = cells["grade"].fillna(0).astype(int)
    return cells.merge(shop["truth/products"], on="product_id").merge(shop["truth/rankings"], on="ranking_id")


def test_a_page_shows_different_products_at_all_positions(shown):
    pages = shown.groupby("ranking_id")
    assert (pages["position"].apply(lambda p: tuple(sorted(p))) == tuple(range(1, 11))).all()
    assert not shown.duplicated(CELL).any()


def test_events_are_a_funnel(shown):
    assert (shown["click"] | ~shown["cart"]).all()
    assert (shown["cart"] | ~shown["purchase"]).all()
    assert 0 < shown["purchase"].sum() < shown["cart"].sum() < shown["click"].sum()


def test_events_follow_each_other_in_time(shop):
    events = shop["interactions"]
    assert events["timestamp"].is_monotonic_increasing
    assert 88 <= (events["timestamp"].iloc[-1] - events["timestamp"].iloc[0]).days <= 90
    first = events.pivot_table(index=CELL, columns="event_type", values="timestamp", aggfunc="min")
    assert not (first["click"] <= first["impression"]).any()
    assert not (first["cart"] <= first["click"]).any()
    assert not (first["purchase"] <= first["cart"]).any()


def test_only_what_is_put_in_the_cart_has_a_quantity(shop):
    events = shop["interactions"]
    late = events["event_type"].isin(["cart", "purchase"])
    assert events.loc[~late, "quantity"].isna().all()
    assert set(events.loc[late, "quantity"]) == {1, 2}


def test_propensity_marks_the_randomised_pages(shop, shown):
    assert (shown["propensity"].notna() == shown["randomised"]).all()
    assert shown["randomised"].mean() == pytest.approx(0.5, abs=0.01)
    assert shown["propensity"].dropna().unique() == pytest.approx([1 / 30])


def test_random_pages_show_every_candidate_as_the_propensity_says(shown):
    query = shown["query"].value_counts().index[0]
    cells = shown[shown["randomised"] & (shown["query"] == query) & (shown["position"] == 1)]
    counts = cells["product_id"].value_counts()
    assert len(counts) == 30
    # Chi-squared with 29 degrees of freedom: 60 is beyond 99.9 %.
    assert ((counts - len(cells) / 30) ** 2 / (len(cells) / 30)).sum() < 60


def test_clicks_fall_with_position_as_examination_does(shown):
    random = shown[shown["randomised"]].groupby("position")["click"].agg(["mean", "sum"])
    truth = examination(random.index.to_numpy())
    level = random["mean"].sum() / truth.sum()
    error = random["mean"] / np.sqrt(random["sum"])
    assert (np.abs(random["mean"] - level * truth) < 4 * error).all()
    slope = np.polyfit(np.log(random.index), np.log(random["mean"]), 1, w=np.sqrt(random["sum"]))[0]
    assert slope == pytest.approx(-0.8, abs=0.06)


def test_logged_pages_overstate_the_bias(shown):
    """Better products stand higher on logged pages: clicks fall faster there than examination, so it must be mended."""
    logged = shown[~shown["randomised"]]
    ctr = logged.groupby("position")["click"].mean()
    assert ctr[10] / ctr[1] < examination(np.array([10]))[0] * 0.85
    assert logged.groupby("position")["grade"].mean().is_monotonic_decreasing


def test_grades_correlate_with_clicks(shown):
    random = shown[shown["randomised"]]
    by_grade = random.groupby("grade")["click"].mean()
    assert by_grade.is_monotonic_increasing
    assert by_grade[4] > 5 * by_grade[0]
    assert np.corrcoef(random["grade"], random["click"])[0, 1] > 0.15


def test_attractive_is_what_grade_taste_and_price_say():
    zero = np.zeros(5)
    plain = attractiveness(np.arange(5, dtype=np.int8), zero, zero, zero)
    np.testing.assert_allclose(plain, 1 / (1 + np.exp(-np.asarray(CLICK_LOGITS))))
    assert (attractiveness(np.arange(5, dtype=np.int8), zero + 1, zero, zero) > plain).all()
    assert (attractiveness(np.arange(5, dtype=np.int8), zero, zero + 1, zero + 0.3) < plain).all()


def test_shoppers_click_what_they_like(shop, shown):
    cells = shown[shown["randomised"] & (shown["grade"] >= 3)].merge(
        shop["truth/shoppers"], on="user_id", suffixes=("_product", "_user")
    )
    taste = (np.stack(cells["taste_product"]) * np.stack(cells["taste_user"])).sum(axis=1)
    assert taste.std() == pytest.approx(1, abs=0.1)
    clicked = cells["click"].to_numpy()
    assert taste[clicked].mean() - taste[~clicked].mean() > 0.2


def test_the_written_prices_are_the_true_ones(shop, shown):
    start = shown["timestamp"].min().normalize()
    cells = shown.assign(week=(shown["timestamp"] - start).dt.days // 7)
    joined = cells.merge(shop["truth/prices"], on=["product_id", "week"], suffixes=("", "_true"))
    assert len(joined) == len(shown)
    np.testing.assert_array_equal(joined["price"], joined["price_true"])
    last = shop["truth/prices"].query("week == 12").set_index("product_id")["price"]
    np.testing.assert_array_equal(shop["products"]["price"], last[shop["products"]["product_id"]])


def test_purchases_fall_in_price(shown):
    clicked = shown[shown["click"]]
    cheap = clicked["price"] < 0.9 * clicked["reference_price"]
    assert clicked.loc[cheap, "purchase"].mean() > 1.15 * clicked.loc[~cheap, "purchase"].mean()


def test_the_elasticity_can_be_recovered(shown):
    """A logit of purchases on the true response to price must give back the factor 1, grades and products held."""
    clicked = shown[shown["click"]]
    response = -clicked["elasticity"] * np.log(clicked["price"] / clicked["reference_price"])
    known = np.asarray(BUY_LOGITS)[clicked["grade"]] + clicked["quality"] + clicked["intercept"]
    model = LogisticRegression(C=1e6).fit(np.column_stack([response, known]), clicked["purchase"])
    assert model.coef_[0] == pytest.approx([1.0, 1.0], abs=0.25)


def test_elasticities_differ_between_categories(shop):
    joined = shop["truth/products"].merge(shop["products"], on="product_id")
    means = joined.groupby("category")["elasticity"].mean()
    assert means["toys"] > 1.4 * means["furniture"]


def test_an_estimate_that_overlooks_the_season_finds_demand_less_elastic(tmp_path):
    """Dear weeks are weeks of high demand: with the season held, the factor of the true response is 1 again."""
    config = SimulateConfig(sessions=50_000, randomised_share=1.0, seed=3, price_response=1.0)
    export = Export(tmp_path / "shop", config)
    events = export["interactions"]
    clicked = events[events["event_type"] == "click"].copy()
    bought = events.loc[events["event_type"] == "purchase"].set_index(CELL).index
    clicked["purchase"] = clicked.set_index(CELL).index.isin(bought)
    clicked["week"] = (clicked["timestamp"] - events["timestamp"].min().normalize()).dt.days // 7
    cells = clicked.merge(export["truth/products"], on="product_id").merge(
        export["truth/prices"][["product_id", "week", "season"]], on=["product_id", "week"]
    )
    response = -cells["elasticity"] * np.log(cells["price"] / cells["reference_price"])
    naive = LogisticRegression(C=1e6).fit(response.to_numpy()[:, None], cells["purchase"]).coef_[0][0]
    held = LogisticRegression(C=1e6).fit(np.column_stack([response, cells["season"]]), cells["purchase"]).coef_[0]
    assert naive < 0.7
    assert held == pytest.approx([1.0, 1.0], abs=0.3)
