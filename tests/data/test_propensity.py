"""Position bias is found again where it is known: in a position-based model drawn here, and in the simulated shop."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from planogram.config import SimulateConfig
from planogram.data.propensity import (
    randomised_propensities,
    regression_em,
    unbiased_targets,
)
from planogram.data.simulate import simulate
from planogram.data.simulate.behaviour import examination
from planogram.errors import DataError

THETA = np.array([1.0, 0.7, 0.5, 0.35, 0.25, 0.2])
NUM_QUERIES, NUM_PRODUCTS = 40, len(THETA)


class Log:
    """Pages of all six products of a query, ranked by relevance and some noise, or at random."""

    def __init__(self, seed: int, pages: int, randomised: bool = False) -> None:
        rng = np.random.default_rng(seed)
        grade = rng.integers(0, 4, (NUM_QUERIES, NUM_PRODUCTS))
        self.gamma = np.array([0.05, 0.15, 0.35, 0.7])[grade].ravel()
        query = rng.integers(0, NUM_QUERIES, pages)
        score = 0.0 if randomised else 1.5 * grade[query]
        product = np.argsort(-(score + rng.gumbel(size=(pages, NUM_PRODUCTS))), axis=1)
        self.pairs = (query[:, None] * NUM_PRODUCTS + product).ravel()
        self.position = np.tile(np.arange(1, NUM_PRODUCTS + 1), pages)
        self.clicked = rng.random(self.pairs.shape) < THETA[self.position - 1] * self.gamma[self.pairs]
        self.features = np.eye(4)[grade.ravel()[self.pairs]]

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({"position": self.position, "clicked": self.clicked})


@pytest.fixture(scope="module")
def ranked():
    return Log(0, 20_000)


def test_the_ratio_of_click_rates_finds_the_bias_of_random_pages():
    found = randomised_propensities(Log(1, 40_000, randomised=True).frame)
    assert found[0] == 1.0
    assert found == pytest.approx(THETA, rel=0.06)


def test_on_ranked_pages_the_ratio_is_too_steep(ranked):
    """What makes the other estimator necessary: lower products are clicked less also because they are worse."""
    assert (randomised_propensities(ranked.frame)[2:] < 0.85 * THETA[2:]).all()


def test_smoothing_keeps_a_position_without_clicks_above_zero():
    frame = pd.DataFrame({"position": [1, 1, 2, 2], "clicked": [True, False, False, False]})
    rates = (1 + 0.25) / 3, 0.25 / 3
    assert randomised_propensities(frame) == pytest.approx([1.0, rates[1] / rates[0]])


def test_regression_em_by_pairs_finds_bias_and_relevance(ranked):
    found = regression_em(ranked.position, ranked.clicked, pairs=ranked.pairs)
    assert found.propensities[0] == 1.0
    assert found.propensities == pytest.approx(THETA, rel=0.08)
    shown = np.bincount(ranked.pairs)[ranked.pairs] > 300
    errors = np.abs(found.relevance - ranked.gamma[ranked.pairs])[shown]
    assert errors.mean() < 0.03


def test_regression_em_by_features_finds_bias_and_relevance(ranked):
    regressor = LogisticRegression(C=100.0)
    found = regression_em(ranked.position, ranked.clicked, features=ranked.features, regressor=regressor)
    assert found.propensities == pytest.approx(THETA, rel=0.08)
    assert np.abs(found.relevance - ranked.gamma[ranked.pairs]).max() < 0.06


def test_boosted_trees_are_the_default_regressor(ranked):
    few = {"max_iterations": 5, "features": ranked.features}
    trees = regression_em(ranked.position, ranked.clicked, **few)
    linear = regression_em(ranked.position, ranked.clicked, **few, regressor=LogisticRegression(C=100.0))
    assert len(trees.log_likelihood) == 5
    assert trees.propensities == pytest.approx(linear.propensities, abs=0.01)


@pytest.mark.parametrize("prior_impressions", [0.1, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_iteration_lowers_the_likelihood(seed, prior_impressions):
    log = Log(seed, 300)
    found = regression_em(log.position, log.clicked, pairs=log.pairs, prior_impressions=prior_impressions)
    assert len(found.log_likelihood) > 10
    assert np.diff(found.log_likelihood).min() > -1e-9
    assert found.log_likelihood[-1] > found.log_likelihood[0]


def test_the_likelihood_is_that_of_every_click_and_its_absence():
    log = Log(4, 200)
    found = regression_em(log.position, log.clicked, pairs=log.pairs, prior_impressions=0.0)
    chance = found.propensities[log.position - 1] * found.relevance
    expected = np.log(np.where(log.clicked, chance, 1 - chance)).sum()
    assert found.log_likelihood[-1] == pytest.approx(expected, rel=1e-9)


def test_pairs_are_names_only(ranked):
    renamed = 1_000_003 * (ranked.pairs + 5)
    few = {"max_iterations": 10}
    found = regression_em(ranked.position, ranked.clicked, pairs=renamed, **few)
    assert found.propensities == pytest.approx(
        regression_em(ranked.position, ranked.clicked, pairs=ranked.pairs, **few).propensities, rel=1e-12
    )


def test_targets_approach_relevance_where_click_rates_do_not(ranked):
    targets, weights = unbiased_targets(ranked.position, ranked.clicked, ranked.pairs, THETA)
    assert targets.dtype == weights.dtype == np.float32
    assert 0.0 <= targets.min() <= targets.max() <= 1.0
    rates = np.bincount(ranked.pairs, ranked.clicked) / np.bincount(ranked.pairs)
    assert np.average(np.abs(targets - ranked.gamma), weights=weights) < 0.03
    assert np.average(np.abs(rates - ranked.gamma), weights=weights) > 0.08


def test_targets_and_weights_of_a_small_log():
    position, clicked = np.array([1, 3, 3, 6, 1]), np.array([False, True, False, True, False])
    targets, weights = unbiased_targets(position, clicked, np.array([0, 0, 0, 1, 3]), THETA)
    # One click in two expected examinations; a click in a fifth of one, cut to 1; never shown; shown without a click.
    assert targets == pytest.approx([0.5, 1.0, 0.0, 0.0])
    assert weights == pytest.approx([2.0, 1.0, 0.0, 1.0])


def test_the_loss_of_the_targets_is_the_unbiased_loss_weighted_by_propensity():
    """With nothing cut off: sum of p (c/p l(1) + (1 - c/p) l(0)), for any score."""
    log = Log(6, 3000)
    targets, weights = (
        values.astype(float) for values in unbiased_targets(log.position, log.clicked, log.pairs, THETA)
    )
    score = np.random.default_rng(6).normal(size=len(targets))
    one, zero = np.logaddexp(0, -score), np.logaddexp(0, score)
    propensity = THETA[log.position - 1]
    ratio = log.clicked / propensity
    expected = (propensity * (ratio * one[log.pairs] + (1 - ratio) * zero[log.pairs])).sum()
    assert (targets < 1).all()
    assert (weights * (targets * one + (1 - targets) * zero)).sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("position", "clicked", "told"),
    [
        ([], [], "0 impressions"),
        ([1, 2], [False, False], "0 clicks"),
        ([0, 1], [True, False], "positions from 0"),
        ([1, 2, 4], [True, False, False], "no impressions at positions 3"),
    ],
)
def test_a_log_that_tells_nothing_is_refused(position, clicked, told):
    position, clicked = np.array(position, dtype=np.int64), np.array(clicked, dtype=bool)
    with pytest.raises(DataError, match=told):
        randomised_propensities(pd.DataFrame({"position": position, "clicked": clicked}))
    with pytest.raises(DataError, match=told):
        regression_em(position, clicked, pairs=np.zeros(len(position), dtype=np.int64))


def test_relevance_is_given_in_exactly_one_way(ranked):
    with pytest.raises(DataError, match="either pairs or features"):
        regression_em(ranked.position, ranked.clicked)
    with pytest.raises(DataError, match="either pairs or features"):
        regression_em(ranked.position, ranked.clicked, pairs=ranked.pairs, features=ranked.features)


@pytest.mark.parametrize("position", [0, 7])
def test_a_position_without_a_propensity_is_refused(position):
    with pytest.raises(DataError, match="1 to 6"):
        unbiased_targets(np.array([1, position]), np.array([True, False]), np.array([0, 0]), THETA)


@pytest.fixture(scope="module")
def impressions(tmp_path_factory):
    """Of a simulated shop, half of whose pages are random, with what was clicked."""
    folder = tmp_path_factory.mktemp("clicks") / "shop"
    config = SimulateConfig(
        products=300, queries=60, shoppers=300, sessions=40_000, reviews=0, randomised_share=0.5, seed=1
    )
    simulate(config, str(folder))
    events = pd.read_parquet(folder / "interactions")
    clicks = events.loc[events["event_type"] == "click", ["ranking_id", "position"]].assign(clicked=True)
    shown = events[events["event_type"] == "impression"].merge(clicks, how="left", on=["ranking_id", "position"])
    return shown.assign(clicked=shown["clicked"].notna())


def test_both_estimators_find_the_examination_of_the_simulated_shop(impressions):
    truth = examination(np.arange(1, 11))
    randomised = impressions["propensity"].notna()
    assert randomised_propensities(impressions[randomised]) == pytest.approx(truth, rel=0.2)
    ranked = impressions[~randomised]
    pairs = ranked.groupby(["query", "product_id"]).ngroup().to_numpy(np.int64)
    found = regression_em(ranked["position"].to_numpy(), ranked["clicked"].to_numpy(), pairs=pairs).propensities
    assert found == pytest.approx(truth, rel=0.2)
    naive = randomised_propensities(ranked)
    assert np.abs(np.log(found / truth)).mean() < 0.5 * np.abs(np.log(naive / truth)).mean()
