import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.errors import DataError
from planogram.pricing.curve import DemandCurve

ANY = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=0, exclude_min=True, max_value=1e300)


def test_units_fall_by_the_elasticity():
    curve = DemandCurve(reference=10.0, level=math.log(100), elasticity=2.0)
    assert curve.units(np.asarray([10.0, 20.0, 5.0])) == pytest.approx([100, 25, 400])


def test_purchases_are_visits_times_the_sigmoid():
    curve = DemandCurve(10.0, level=0.0, elasticity=1.0, kind="purchase", exposure=50.0)
    # odds 1 at the reference, 1/3 at the triple price
    assert curve.units(np.asarray([10.0, 30.0])) == pytest.approx([25, 12.5])


def test_every_draw_has_its_units():
    draws = np.asarray([[math.log(100), 2.0], [math.log(10), 1.0]])
    curve = DemandCurve(10.0, 0.0, 1.0, draws=draws)
    assert curve.units_draws(np.asarray([10.0, 20.0])) == pytest.approx(np.asarray([[100, 25], [10, 5]]))
    alone = curve.with_draw(1)
    assert (alone.level, alone.elasticity, alone.draws.shape) == (math.log(10), 1.0, (0, 2))
    assert alone.units(np.asarray([10.0, 20.0])) == pytest.approx([10, 5])


def test_without_draws_there_are_no_rows():
    assert DemandCurve(10.0, 0.0, 1.0).units_draws(np.asarray([1.0, 2.0])).shape == (0, 2)


@given(POSITIVE, ANY, POSITIVE, POSITIVE, st.sampled_from(["units", "purchase"]), POSITIVE)
def test_units_are_finite_and_never_rise_with_the_price(reference, level, elasticity, exposure, kind, price):
    curve = DemandCurve(reference, level, elasticity, kind, exposure)
    units = curve.units(np.asarray([price, price * 2]))
    assert np.isfinite(units).all() and (units >= 0).all()
    assert units[1] <= units[0] * (1 + 1e-12) + 1e-300


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": 0.0},
        {"reference": math.nan},
        {"level": math.inf},
        {"elasticity": -1.0},
        {"elasticity": 0.0},
        {"exposure": math.inf},
        {"kind": "clicks"},
        {"draws": np.zeros((3, 3))},
        {"draws": np.asarray([[0.0, 0.0]])},
        {"draws": np.asarray([[math.nan, 1.0]])},
    ],
)
def test_what_is_no_curve_is_refused(wrong):
    with pytest.raises(DataError) as error:
        DemandCurve(**{"reference": 1.0, "level": 0.0, "elasticity": 1.0, **wrong})
    assert error.value.allowed and error.value.remedy
