"""Beliefs about demand come nearer to the truth with what is sold."""

import numpy as np
import pytest

from planogram.pricing.curve import DemandCurve
from planogram.pricing.learn import LEAST_DOUBT, Beliefs

PRODUCTS = 40


def sold(beliefs, truth, weeks, rng, kind):
    for _ in range(weeks):
        prices = 10.0 * np.exp(rng.uniform(-0.3, 0.3, PRODUCTS))
        shown = np.full(PRODUCTS, 400.0)
        expected = np.asarray([curve.units(np.asarray([p]))[0] for curve, p in zip(truth, prices, strict=True)])
        units = rng.poisson(expected) if kind == "units" else rng.binomial(400, expected / 400)
        beliefs = beliefs.updated(prices, units.astype(float), shown, rng)
    return beliefs


@pytest.mark.parametrize("kind", ["units", "purchase"])
def test_elasticities_move_to_the_truth(kind):
    rng = np.random.default_rng(0)
    level = 4.0 if kind == "units" else -1.5
    truth = [DemandCurve(10.0, level, 2.0, kind, 400.0)] * PRODUCTS
    told = [DemandCurve(10.0, level + 0.1, 1.6, kind, 400.0, np.asarray([[level, 1.2], [level, 2.2]]))] * PRODUCTS
    before = Beliefs.of(told, 200, rng)
    after = sold(before, truth, 30, rng, kind)
    error = [np.abs([c.elasticity - 2.0 for c in beliefs.believed()]).mean() for beliefs in (before, after)]
    assert error[1] < 0.6 * error[0]
    assert after.log_elasticities.std(axis=1).mean() < before.log_elasticities.std(axis=1).mean()


def test_what_a_model_is_sure_of_is_doubted_a_little():
    beliefs = Beliefs.of([DemandCurve(10.0, 1.0, 2.0)] * 50, 400, np.random.default_rng(0))
    assert beliefs.levels.std() == pytest.approx(LEAST_DOUBT[0], rel=0.05)
    assert beliefs.log_elasticities.std() == pytest.approx(LEAST_DOUBT[1], rel=0.05)


def test_believed_curves_have_the_particles_as_draws():
    beliefs = Beliefs.of([DemandCurve(10.0, 1.0, 2.0, "purchase", 30.0)], 16, np.random.default_rng(0))
    (curve,) = beliefs.believed()
    assert (curve.kind, curve.exposure, curve.draws.shape) == ("purchase", 30.0, (16, 2))
    np.testing.assert_allclose(curve.draws[:, 1], np.exp(beliefs.log_elasticities[0]))
