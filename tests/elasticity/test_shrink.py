"""Shrinking against the formulas written out, and against a truth that it is nearer to than the estimates."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.shrink import fit_prior, shrink
from planogram.errors import DataError


def frame(estimates, errors):
    names = [f"p{number}" for number in range(len(estimates))]
    return pd.DataFrame({"product_id": names, "rows": 50, "elasticity": estimates, "standard_error": errors})


def test_the_spread_by_hand():
    """Equal errors s: Q = sum((e - mean)^2) / s^2, and tau^2 is the variance of the estimates less s^2."""
    prior = fit_prior(np.array([-1.0, -2.0, -3.0]), np.full(3, 0.5))
    assert prior.mean == pytest.approx(-2.0)
    assert prior.deviation**2 == pytest.approx(1.0 - 0.25)
    assert prior.error == pytest.approx(np.sqrt((0.25 + 0.75) / 3))


def test_unequal_errors_as_dersimonian_and_laird_have_it():
    e, s = np.array([-1.0, -2.5, -4.0, -1.5]), np.array([0.2, 0.5, 1.0, 0.3])
    w = 1 / s**2
    m = (w * e).sum() / w.sum()
    tau2 = ((w * (e - m) ** 2).sum() - 3) / (w.sum() - (w**2).sum() / w.sum())
    prior = fit_prior(e, s)
    assert prior.deviation**2 == pytest.approx(tau2)
    assert prior.mean == pytest.approx((e / (s**2 + tau2)).sum() / (1 / (s**2 + tau2)).sum())


def test_estimates_that_differ_by_chance_alone_become_one():
    found = shrink(frame([-2.0, -2.1, -1.9, -2.05, -1.95], [0.5] * 5), pd.Series(dtype=str))
    assert found["shrunk"].to_numpy() == pytest.approx(-2.0)


def test_a_product_is_drawn_by_how_unsure_it_is():
    e, s = [-1.0, -3.0, -2.0, -2.5, -1.5, -9.0], [0.1, 0.1, 0.1, 0.1, 0.1, 3.0]
    found = shrink(frame(e, s), pd.Series(dtype=str))
    prior = fit_prior(np.array(e), np.array(s))
    share = 9 / (9 + prior.deviation**2)
    assert found["shrunk"].iloc[-1] == pytest.approx(share * prior.mean - (1 - share) * 9)
    variance = (1 - share) * 9 + (share * prior.error) ** 2
    assert found["shrunk_error"].iloc[-1] == pytest.approx(np.sqrt(variance))
    assert found["shrunk"].iloc[0] == pytest.approx(-1.0, abs=0.05)


def test_a_product_without_an_estimate_stands_at_its_category_s_mean():
    rows = frame([-1.0, -1.2, -0.8, -1.1, -0.9, -4.0, -4.2, -3.8, -4.1, -3.9, np.nan], [0.1] * 10 + [np.nan])
    categories = pd.Series({f"p{n}": "bread" if n < 5 else "wine" for n in range(11)})
    found = shrink(rows, categories)
    assert found["shrunk"].iloc[-1] == pytest.approx(-4.0, abs=0.02)
    assert found["shrunk"].iloc[:5].mean() == pytest.approx(-1.0, abs=0.02)
    assert found["category"].tolist() == ["bread"] * 5 + ["wine"] * 6


def test_what_pricing_counts_on_is_never_below_the_least():
    found = shrink(frame([0.5, 0.4, 0.6, -2.0, -2.2], [0.01] * 5), pd.Series(dtype=str), least=0.2)
    assert found["shrunk"].iloc[0] > 0
    assert found["sensitivity"].tolist()[:3] == [0.2, 0.2, 0.2]
    assert found["sensitivity"].iloc[3] == pytest.approx(-found["shrunk"].iloc[3])


def test_shrunk_elasticities_are_nearer_to_the_truth():
    draw = np.random.default_rng(0)
    truth, errors = draw.normal(-2, 0.5, 200), draw.uniform(0.2, 1.5, 200)
    own = truth + errors * draw.normal(size=200)
    found = shrink(frame(own, errors), pd.Series(dtype=str))
    assert ((found["shrunk"] - truth) ** 2).mean() < 0.5 * ((own - truth) ** 2).mean()
    covered = ((found["low"] < truth) & (truth < found["high"])).mean()
    assert 0.9 < covered < 0.99


def test_one_estimate_cannot_be_shrunk():
    with pytest.raises(DataError, match="too few estimates"):
        shrink(frame([-1.0, np.nan], [0.1, np.nan]), pd.Series(dtype=str))
