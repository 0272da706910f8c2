import pytest

from planogram.errors import ConfigError
from planogram.pricing.policy import PricePolicy
from planogram.section import load, parse


def test_yaml_reads_lists_as_tuples():
    policy = load(PricePolicy, None, ["endings=[0.99, 0.95]", "competitor_band=[0.9, 1.1]"])
    assert policy.endings == (0.99, 0.95) and policy.competitor_band == (0.9, 1.1)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"currency_step": 0.00015}, "currency_step"),
        ({"currency_step": 0.0}, "currency_step"),
        ({"endings": (0.99,), "currency_step": 0.05}, "0.99 does not fit a currency_step of 0.05"),
        ({"endings": (0.0,), "currency_step": 5.0}, "0.0 does not fit"),
        ({"endings": (1000.0,)}, "endings"),
        ({"competitor_band": (1.1, 0.9)}, "lower ratio is above its higher one"),
        ({"min_margin": 1.0}, "min_margin"),
        ({"min_margin": float("nan")}, "min_margin"),
        ({"max_change": 0.0}, "max_change"),
        ({"objective": "margin"}, "'profit'"),
        ({"exploration": "ucb"}, "'thompson'"),
        ({"grid_size": 1}, "grid_size"),
        ({"floor": 1.0}, "floor is not a key"),
    ],
)
def test_what_is_no_policy_is_refused(values, shown):
    with pytest.raises(ConfigError, match="does not fit PricePolicy") as error:
        parse(PricePolicy, values, "the test")
    assert shown in str(error.value)


def test_yen_have_endings_too():
    assert PricePolicy(currency_step=1.0, endings=(80.0, 98.0)).endings == (80.0, 98.0)
