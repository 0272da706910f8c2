import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.pricing.grid import between, digits, pattern


def steps_of(low, high, endings=(), step=0.01, size=64):
    steps, counts = between(np.asarray([low]), np.asarray([high]), pattern(endings, step), size)
    return steps[0, : counts[0]].tolist()


def test_all_prices_where_they_are_few():
    assert steps_of(98, 103) == [98, 99, 100, 101, 102, 103]
    assert steps_of(5, 5) == [5]


def test_as_many_as_asked_where_they_are_many_with_both_ends():
    steps = steps_of(100, 1100, size=11)
    assert steps == list(range(100, 1101, 100))


def test_endings_alone():
    assert steps_of(890, 1210, (0.99, 0.95)) == [895, 899, 995, 999, 1095, 1099, 1195, 1199]
    assert steps_of(1900, 2100, (80.0, 98.0), step=1.0) == [1980, 1998, 2080, 2098]
    assert steps_of(900, 3500, (9.99,)) == [999, 1999, 2999]
    assert steps_of(900, 994, (0.99, 0.95)) == []


def test_endings_of_different_lengths():
    assert steps_of(8, 40, (9.0, 20.0), step=1.0) == [9, 19, 20, 29, 39]


@pytest.mark.parametrize(("ending", "after"), [(0.0, 1), (0.99, 1), (5.0, 10), (9.99, 10), (80.0, 100), (980.0, 1000)])
def test_last_digits_repeat_after_the_next_power_of_ten(ending, after):
    assert digits(ending) == after


@given(
    st.integers(1, 10**6),
    st.integers(0, 5000),
    st.sampled_from([(), (0.99,), (0.99, 0.95, 0.0), (5.0, 0.5), (80.0, 0.99)]),
    st.integers(2, 40),
)
def test_the_grid_is_what_counting_finds(low, width, endings, size):
    residues = {(round(e * 100), round(digits(e) * 100)) for e in endings}
    wanted = [s for s in range(low, low + width + 1) if not endings or any(s % m == e for e, m in residues)]
    found = steps_of(low, low + width, endings, size=size)
    if len(wanted) <= size:
        assert found == wanted
    else:
        assert len(found) == size and found == sorted(set(found))
        assert set(found) <= set(wanted) and (found[0], found[-1]) == (wanted[0], wanted[-1])
