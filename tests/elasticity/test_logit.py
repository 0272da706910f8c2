"""The conditional logit against differences, against known tastes, and on held-out households."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.choice import estimate, markets
from planogram.elasticity.logit import (
    elasticities,
    fit_logit,
    gradient,
    hessian,
    log_likelihood,
    make_choices,
    negative_log_likelihood,
    probabilities,
)
from planogram.errors import DataError

PRODUCTS = ("tea/a", "tea/b", "tea/c")
TASTES = np.array([-1.5, 0.8, 1.0, -0.5])  # of price, feat, and of a and b beside c


def drawn(sets: int, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    price, feat = draw.uniform(1, 3, (sets, 3)), draw.integers(0, 2, (sets, 3)).astype(float)
    utility = TASTES[0] * price + TASTES[1] * feat + np.array([TASTES[2], TASTES[3], 0.0])
    taken = (utility + draw.gumbel(size=(sets, 3))).argmax(axis=1)
    return pd.DataFrame(
        {
            "choice_set": np.repeat(np.arange(sets), 3),
            "group": np.repeat(np.arange(sets) // 5, 3),
            "product_id": PRODUCTS * sets,
            "price": price.ravel(),
            "feat": feat.ravel(),
            "chosen": (taken[:, None] == np.arange(3)).astype(float).ravel(),
        }
    )


@pytest.fixture(scope="module")
def frame():
    return drawn(3000)


def test_gradient_and_hessian_are_those_of_differences(frame):
    choices = make_choices(frame.head(60), PRODUCTS, ["feat"])
    at, step = np.array([-0.7, 0.3, 0.2, -0.1]), 1e-5
    for column, move in enumerate(np.eye(4) * step):
        slope = (log_likelihood(at + move, choices) - log_likelihood(at - move, choices)) / (2 * step)
        assert gradient(at, choices)[column] == pytest.approx(slope, rel=1e-5, abs=1e-6)
        curve = (gradient(at + move, choices) - gradient(at - move, choices)) / (2 * step)
        np.testing.assert_allclose(hessian(at, choices)[column], curve, rtol=1e-4, atol=1e-5)


def test_tastes_are_found_again(frame):
    fit = fit_logit(make_choices(frame, PRODUCTS, ["feat"]))
    assert fit.names == ("price", "feat", "constant of tea/a", "constant of tea/b")
    assert (np.abs(fit.coefficients - TASTES) < 3 * fit.standard_errors).all()
    assert (fit.standard_errors < 0.1).all()
    assert fit.price == fit.coefficients[0]


def two_products(taken):
    """Sets of a and b: a is cheap in the first half, dear in the second; whether a was taken."""
    half = len(taken) // 2
    return pd.DataFrame(
        {
            "choice_set": np.repeat(np.arange(len(taken)), 2),
            "product_id": ["a", "b"] * len(taken),
            "price": [1.0, 2.0] * half + [2.0, 1.0] * half,
            "chosen": [value for first in taken for value in (first, 1 - first)],
        }
    )


def test_two_products_by_hand():
    """P(a) is 2/3 where a is cheap and 1/3 where it is dear: log odds of log 2 for one unit of price."""
    choices = make_choices(two_products([1, 1, 0, 1, 0, 0]), ["a", "b"])
    assert negative_log_likelihood(np.zeros(2), choices) == pytest.approx(np.log(2))
    fit = fit_logit(choices)
    assert fit.coefficients == pytest.approx([-np.log(2), 0.0])
    assert probabilities(fit.coefficients, choices)[::2] == pytest.approx([2 / 3] * 3 + [1 / 3] * 3)
    # Information of both columns: 6 P (1 - P).
    assert fit.standard_errors == pytest.approx([(6 * 2 / 9) ** -0.5] * 2)


def test_choices_that_the_price_tells_wholly_have_no_logit():
    with pytest.raises(DataError, match="cannot tell price"):
        fit_logit(make_choices(two_products([1, 1, 1, 1, 0, 1]), ["a", "b"]))


def test_rows_may_come_in_any_order(frame):
    mixed = frame.sample(frac=1, random_state=0)
    one, other = (fit_logit(make_choices(rows, PRODUCTS, ["feat"])) for rows in (frame, mixed))
    np.testing.assert_allclose(one.coefficients, other.coefficients)


def test_elasticities_are_those_of_differences(frame):
    """Answers of expected demand to one per cent on every price of a product."""
    choices = make_choices(frame, PRODUCTS, ["feat"])
    fit = fit_logit(choices)
    found = elasticities(fit, choices, frame["product_id"])
    before = pd.Series(probabilities(fit.coefficients, choices)).groupby(frame["product_id"]).sum()
    for product in PRODUCTS:
        raised = frame.assign(price=frame["price"].where(frame["product_id"] != product, frame["price"] * 1.0001))
        after = probabilities(fit.coefficients, make_choices(raised, PRODUCTS, ["feat"]))
        change = np.log(pd.Series(after).groupby(frame["product_id"]).sum() / before) / np.log(1.0001)
        np.testing.assert_allclose(found[product], change, rtol=1e-2)
    assert (np.diag(found) < 0).all() and (found.to_numpy()[~np.eye(3, dtype=bool)] > 0).all()


def test_what_cannot_be_fitted_is_said(frame):
    with pytest.raises(DataError, match="without exactly one"):
        make_choices(frame.assign(chosen=0.0), PRODUCTS)
    constant = make_choices(frame.assign(feat=1.0), PRODUCTS, ["feat"])
    with pytest.raises(DataError, match="cannot tell price, feat"):
        fit_logit(constant)


def test_markets_are_the_sets_of_products(frame):
    other = drawn(10, 1).assign(feat=np.nan)
    other["product_id"] = other["product_id"].str.replace("tea", "jam")
    other["choice_set"] += 10_000
    found = markets(pd.concat([frame, other]), ["feat"])
    assert [(market.name, market.features, len(market.frame)) for market in found] == [
        ("jam", (), 30),
        ("tea", ("feat",), len(frame)),
    ]


def test_prices_tell_more_than_shares_of_unseen_households(frame):
    (market,) = markets(frame, ["feat"])
    result = estimate(market, 4)
    assert result.choices == 3000 and result.groups == 600
    assert (result.logit_nll < result.shares_nll - 0.05).all()
    shares = frame.groupby("product_id")["chosen"].sum() / 3000
    assert result.shares_nll.mean() == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.02)
    with pytest.raises(DataError, match="600 groups of choices for 601 folds"):
        estimate(market, 601)


CRACKERS = ("sunshine", "kleebler", "nabisco", "private")
YOGURTS = ("yoplait", "dannon", "hiland", "weight")


@pytest.mark.parametrize(
    ("file", "brands", "features", "nll"),
    [("Cracker", CRACKERS, ("disp", "feat"), 1.040), ("Yogurt", YOGURTS, ("feat",), 1.409)],
)
def test_brand_choices_of_every_fifth_household(shared_data, file, brands, features, nll):
    wide = pd.read_csv(shared_data / "price_ecdat_brand_choice" / f"{file}.csv")
    rows = [
        pd.DataFrame(
            {
                "choice_set": wide["rownames"],
                "household": wide["id"],
                "product_id": brand,
                "price": wide[f"price.{brand}"] / 100,
                "chosen": (wide["choice"] == brand).astype(float),
                **{name: wide[f"{name}.{brand}"].astype(float) for name in features},
            }
        )
        for brand in brands
    ]
    frame = pd.concat(rows)
    frame = frame[frame.groupby("choice_set")["price"].transform("min") > 0]
    unseen = frame["household"] % 5 == 0
    fit = fit_logit(make_choices(frame[~unseen], brands, features))
    held_out = make_choices(frame[unseen], brands, features)
    assert negative_log_likelihood(fit.coefficients, held_out) == pytest.approx(nll, abs=5e-4)
