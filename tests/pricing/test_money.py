from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.pricing.money import Ruler, exact

STEPS = st.sampled_from([0.0001, 0.01, 0.05, 0.25, 0.1, 1.0, 5.0, 1000.0])


def test_a_float_means_the_decimal_that_is_written():
    assert exact(0.1) == Fraction(1, 10)
    assert exact(0.1 + 0.2) == Fraction("0.30000000000000004")


@pytest.mark.parametrize(
    ("amount", "step", "up", "down"),
    [(0.29, 0.01, 29, 29), (0.1 + 0.2, 0.01, 31, 30), (1.15, 0.05, 23, 23), (1.16, 0.05, 24, 23), (99.5, 1.0, 100, 99)],
)
def test_limits_are_rounded_to_the_inside(amount, step, up, down):
    ruler = Ruler.of(step)
    assert (ruler.up(exact(amount)), ruler.down(exact(amount))) == (up, down)


def test_a_price_off_the_step_has_no_number_of_steps():
    assert Ruler.of(0.05).steps(1.15) == 23
    assert Ruler.of(0.05).steps(1.16) is None
    assert Ruler.of(1.0).steps(0.5) is None


@given(st.integers(1, 10**12), STEPS)
def test_a_price_is_the_float_nearest_to_its_decimal(steps, step):
    ruler = Ruler.of(step)
    wanted = float(Decimal(steps) * Decimal(repr(step)))
    if wanted <= 1e11:
        assert ruler.price(steps) == wanted
        assert ruler.prices(np.asarray([steps]))[0] == wanted
        assert ruler.steps(wanted) == steps
