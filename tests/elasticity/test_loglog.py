"""Least squares and its standard errors against dummies and formulas written out, and against known demand."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.effects import absorbed, demean
from planogram.elasticity.loglog import fit_by, fit_ols, log_target, slopes
from planogram.elasticity.observations import load_observations
from planogram.elasticity.ppml import fit_ppml, sold_somewhere
from planogram.elasticity.slope import Estimate, sandwich, slope
from planogram.errors import DataError

TRUTH = -2.0


@pytest.fixture
def small():
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "product_id": draw.choice(list("abcd"), 120),
            "period": draw.integers(0, 6, 120),
            "log_price": draw.normal(0, 0.4, 120),
            "feat": draw.integers(0, 2, 120).astype(float),
        }
    )
    mean = np.exp(1 + frame["product_id"].map({"a": 0.0, "b": 1.0, "c": -1.0, "d": 0.5}) - 1.5 * frame["log_price"])
    return frame.assign(units=draw.poisson(mean).astype(float))


def dummies(frame, *names):
    first = pd.get_dummies(frame[names[0]]).to_numpy(float)
    return np.column_stack([first, *(pd.get_dummies(frame[name]).to_numpy(float)[:, 1:] for name in names[1:])])


def written_out(design, target, clusters=None):
    """Coefficient 0 of a regression, its HC1 and its clustered standard error, by the textbook's matrices."""
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ target
    scores = design * (target - design @ beta)[:, None]
    n, k = design.shape
    factor = n / (n - k)
    if clusters is not None:
        scores = np.stack([scores[clusters == name].sum(axis=0) for name in np.unique(clusters)])
        factor = len(scores) / (len(scores) - 1) * (n - 1) / (n - k)
    return beta[0], np.sqrt(factor * (bread @ scores.T @ scores @ bread)[0, 0])


def test_effects_taken_out_are_the_residuals_of_dummies(small):
    groups = [pd.factorize(small[name])[0] for name in ("product_id", "period")]
    weights = np.random.default_rng(0).uniform(0.5, 2, len(small))
    values = small[["log_price", "feat"]].to_numpy()
    design, root = dummies(small, "product_id", "period"), np.sqrt(weights)[:, None]
    expected = values - design @ np.linalg.lstsq(design * root, values * root, rcond=None)[0]
    np.testing.assert_allclose(demean(values, groups, weights), expected, atol=1e-7)
    assert absorbed(groups) == design.shape[1]


def test_two_effects_and_a_covariate_are_as_written_out(small):
    target = small["units"].to_numpy()
    found = fit_ols(small, target, ("product_id", "period"), ("feat",))
    design = np.column_stack([small[["log_price", "feat"]], dummies(small, "product_id", "period")])
    assert (found.elasticity, found.standard_error) == pytest.approx(written_out(design, target), rel=1e-6)


def test_errors_of_clusters_are_as_written_out(small):
    target, clusters = small["units"].to_numpy(), small["period"].to_numpy()
    found = fit_ols(small, target, ("product_id",), (), clusters)
    design = np.column_stack([small["log_price"], dummies(small, "product_id")])
    assert (found.elasticity, found.standard_error) == pytest.approx(written_out(design, target, clusters), rel=1e-6)


def test_an_effect_within_clusters_costs_no_parameter(small):
    product, period = (pd.factorize(small[name])[0] for name in ("product_id", "period"))
    assert absorbed([product], product) == 0
    assert absorbed([product, period], product) == 6


def test_a_slope_by_hand():
    found = slope(np.array([-1.0, 0.0, 1.0]), np.array([2.0, 1.0, -1.0]))
    assert found.elasticity == pytest.approx(-1.5)
    # errors .5, 1, .5; scores -.5, 0, .5; HC1 factor 3 / 2
    assert found.standard_error == pytest.approx(np.sqrt(1.5 * 0.5) / 2)
    assert Estimate(-2.0, 0.5, 9).interval == pytest.approx((-2.98, -1.02), abs=1e-4)


def test_what_cannot_be_estimated_is_said(small):
    with pytest.raises(DataError, match="does not vary"):
        fit_ols(
            small.assign(log_price=small["product_id"].map({"a": 0, "b": 1, "c": 2, "d": 3})),
            small["units"],
            ["product_id"],
        )
    with pytest.raises(DataError, match="does not vary"):
        fit_ols(small.assign(log_price=2 * small["feat"]), small["units"].to_numpy(), (), ["feat"])
    with pytest.raises(DataError, match="covariates feat are missing"):
        fit_ols(small.assign(feat=np.nan), small["units"].to_numpy(), (), ["feat"])
    with pytest.raises(DataError, match="2 rows for 2 parameters"):
        fit_ols(small.head(2), small["units"].to_numpy()[:2])
    with pytest.raises(DataError, match="one cluster"):
        sandwich(1.0, np.ones(3), np.zeros(3, dtype=int), 1)


def test_rows_of_no_units_are_counted():
    frame, target, zeros = log_target(pd.DataFrame({"units": [0.0, np.e, 1.0, 0.0]}))
    assert (len(frame), target.tolist(), zeros) == (2, [1.0, 0.0], 2)
    with pytest.raises(DataError, match="units above 0"):
        log_target(pd.DataFrame({"units": [0.0]}))


def test_products_one_by_one(small):
    target = small["units"].to_numpy()
    found = fit_by(small, target).set_index("product_id")
    own = (small["product_id"] == "b").to_numpy()
    design = np.column_stack([small.loc[own, "log_price"], np.ones(own.sum())])
    assert tuple(found.loc["b", ["elasticity", "standard_error"]]) == pytest.approx(written_out(design, target[own]))
    few = fit_by(small.head(8), target[:8])
    assert few["elasticity"].isna().all() and few["rows"].sum() == 8
    both = fit_by(small, target, ["product_id", "feat"], ["period"])
    assert len(both) == 8 and both["rows"].sum() == len(small)


def test_products_of_residuals_have_no_constant(small):
    price, target = small["log_price"].to_numpy(), small["units"].to_numpy()
    found = slopes(small, price, target).set_index("product_id")
    own = (small["product_id"] == "c").to_numpy()
    assert found.loc["c", "elasticity"] == pytest.approx(price[own] @ target[own] / (price[own] @ price[own]))


def test_poisson_is_the_maximum_of_scikit_learn_s_likelihood(small):
    from sklearn.linear_model import PoissonRegressor

    design = np.column_stack([small[["log_price", "feat"]], dummies(small, "product_id", "period")])
    other = PoissonRegressor(alpha=0, fit_intercept=False, solver="newton-cholesky", tol=1e-10).fit(
        design, small["units"]
    )
    found = fit_ppml(small, small["units"].to_numpy(), ("product_id", "period"), ("feat",))
    assert found.elasticity == pytest.approx(other.coef_[0], abs=1e-5)
    mean = other.predict(design)
    bread = np.linalg.inv(design.T @ (design * mean[:, None]))
    scores = design * (small["units"].to_numpy() - mean)[:, None]
    n, k = design.shape
    error = np.sqrt(n / (n - k) * (bread @ scores.T @ scores @ bread)[0, 0])
    assert found.standard_error == pytest.approx(error, rel=1e-4)
    assert found.elasticity == pytest.approx(-1.5, abs=3 * found.standard_error)


def test_poisson_leaves_out_what_never_sold(small):
    never = pd.concat([small, small.head(20).assign(product_id="never", units=0.0)], ignore_index=True)
    units = never["units"].to_numpy()
    assert sold_somewhere(never, units, ["product_id"]).sum() == len(small)
    with_never, without = fit_ppml(never, units, ["product_id"]), fit_ppml(small, units[:120], ["product_id"])
    assert with_never == without


def test_what_is_held_constant_takes_bias_out(confounded):
    target = confounded["log_units"].to_numpy()
    pooled, products, all_else = (
        abs(fit_ols(confounded, target, effects, features).elasticity - TRUTH)
        for effects, features in (
            ((), ()),
            (("product_id",), ()),
            (("product_id", "period"), ("promoted", "warmth")),
        )
    )
    assert pooled > products > all_else > 0.3  # what is left is no straight line


def test_dominicks_orange_juice(shared_data):
    """The elasticities of Taddy's course: one of all brands, and one of each brand with and without promotion."""
    source = pd.read_csv(shared_data / "price_dominicks_oj" / "oj.csv")
    frame = source.assign(product_id=source["brand"], log_price=np.log(source["price"]))
    target = np.log(source["sales"].to_numpy())
    assert fit_ols(frame, target, ["product_id"]).elasticity == pytest.approx(-3.13869, abs=1e-4)
    each = fit_by(frame, target, ["product_id", "feat"])["elasticity"].round(3).tolist()
    assert each == [-2.774, -3.245, -1.991, -3.571, -2.038, -3.495]


def test_the_shop_s_own_loader_gives_the_same(make_shop):
    rows = [
        {"product_id": "a", "price": price, "units": 8 / price**2, "features": [("feat", "0")]}
        for price in (1.0, 2.0, 3.0, 4.0)
    ]
    found = load_observations(make_shop(demand=rows))
    frame, target, _ = log_target(found.frame)
    assert fit_ols(frame, target).elasticity == pytest.approx(-2.0)
