"""Cross-fitting: nothing of a row's own group is seen, and the truth is found where other estimators miss it."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.learners import LEARNERS, BoostedPoisson, Dummies
from planogram.elasticity.loglog import fit_ols
from planogram.elasticity.partial import cross_fit, explained, fold_groups, partial_out
from planogram.elasticity.partial_poisson import partial_poisson
from planogram.errors import DataError

TRUTH = -2.0
FEATURES = ("product_id", "period", "promoted", "warmth")


class Echo:
    """A learner that predicts the mean of what it saw, and remembers which rows these were."""

    def __init__(self, features):
        self.features = features

    def fit(self, frame, target):
        self.seen, self.mean = set(frame["row"]), float(target.mean())
        return self

    def predict(self, frame):
        assert not self.seen & set(frame["row"])
        return np.full(len(frame), self.mean)


def test_no_row_is_predicted_by_a_learner_that_saw_its_group():
    frame = pd.DataFrame({"row": np.arange(12)})
    groups = np.repeat(np.arange(6), 2)
    target = np.arange(12.0)
    found = cross_fit(frame, ["row"], target, 3, groups, Echo)
    for learner in found.model.learners:
        held_out = set(frame["row"]) - learner.seen
        assert {groups[row] for row in held_out}.isdisjoint({groups[row] for row in learner.seen})
        assert found.oof[list(held_out)] == pytest.approx(learner.mean)
    assert np.isfinite(found.oof).all()


def test_later_rows_get_the_mean_of_all_learners():
    frame = pd.DataFrame({"row": np.arange(4)})
    found = cross_fit(frame, ["row"], np.array([0.0, 1.0, 2.0, 9.0]), 2, np.arange(4), Echo)
    later = pd.DataFrame({"row": [99]})
    assert found.model.predict(later)[0] == pytest.approx(np.mean([learner.mean for learner in found.model.learners]))


def test_too_few_groups_are_an_error():
    with pytest.raises(DataError, match="2 groups for 3 folds"):
        cross_fit(pd.DataFrame({"row": [0, 1]}), ["row"], np.zeros(2), 3, np.arange(2), Echo)


def test_what_stays_together_in_a_fold():
    frame = pd.DataFrame({"product_id": list("aaab"), "store": "", "period": [0, 1, 2, 0], "choice_set": np.arange(4)})
    assert fold_groups(frame, 2).tolist() == [0, 0, 1, 2]
    assert fold_groups(frame.assign(period=0), 2).tolist() == [0, 1, 2, 3]
    assert fold_groups(frame.assign(choice_set=[5, 5, 6, 6]), 2).tolist() == [5, 5, 6, 6]


def test_dummies_of_unseen_values_stand_at_the_mean():
    frame = pd.DataFrame({"shop": ["a", "a", "b"], "size": [1.0, 2.0, 3.0]})
    dummies = Dummies(["shop", "size"]).fit(frame)
    unseen = dummies.transform(pd.DataFrame({"shop": ["c"], "size": [np.nan]})).toarray()
    assert unseen.tolist() == [[0.0, 0.0, 0.0]]
    told = dummies.told(frame, np.array([9.0, 1.0, -1.0]))
    assert told.tolist() == [[1.0, 1.0], [1.0, 2.0], [-1.0, 3.0]]
    with pytest.raises(DataError, match="no features"):
        Dummies([]).fit(frame)


def test_trees_find_what_dummies_cannot_say(confounded):
    """The weather moves the price by .3 cos(2 warmth), of which a straight line knows nothing."""
    price, groups = confounded["log_price"].to_numpy(), fold_groups(confounded, 4)
    ridge, boosting = (
        explained(price, price - cross_fit(confounded, FEATURES, price, 4, groups, LEARNERS[name]).oof)
        for name in ("ridge", "boosting")
    )
    assert boosting > ridge + 0.04


def test_cross_fitting_finds_the_truth_where_least_squares_miss_it(confounded):
    target = confounded["log_units"].to_numpy()
    pooled = fit_ols(confounded, target)
    within = fit_ols(confounded, target, ("product_id", "period"), ("promoted", "warmth"))
    found = partial_out(confounded, FEATURES, target, 5, fold_groups(confounded, 4), LEARNERS["boosting"])
    assert all(abs(other.elasticity - TRUTH) > 5 * other.standard_error for other in (pooled, within))
    assert abs(found.estimate.elasticity - TRUTH) < 2 * found.estimate.standard_error
    assert found.price_r2 == pytest.approx(explained(confounded["log_price"].to_numpy(), found.price))
    assert 0.2 < found.target_r2 < found.price_r2 < 1


def test_a_price_that_is_known_wholly_tells_nothing():
    frame = pd.DataFrame({"product_id": ["a"] * 10 + ["b"] * 10, "log_price": 1.0})
    with pytest.raises(DataError, match="does not vary"):
        partial_out(frame, ["product_id"], np.arange(20.0), 2, np.arange(20), LEARNERS["ridge"])


def test_units_of_zero_count_in_the_poisson_estimate(confounded):
    units = np.random.default_rng(1).poisson(confounded["units"].to_numpy() / 40).astype(float)
    assert (units == 0).mean() > 0.2
    found = partial_poisson(confounded, FEATURES, units, 4, fold_groups(confounded, 4), LEARNERS["boosting"])
    assert found.elasticity == pytest.approx(TRUTH, abs=3 * found.standard_error)
    assert found.rows == len(confounded)
    with pytest.raises(DataError, match="all 0"):
        BoostedPoisson(["product_id"]).fit(confounded, np.zeros(len(confounded)))
