"""Demand falls in price by construction, and its losses are the likelihoods that they say they are."""

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp
from scipy.stats import binom, poisson

from planogram.models.demand import LOG_ELASTICITIES, head_names, likelihood, response, split_heads, squared_error

ONES = torch.ones(4)


def test_heads_are_level_and_elasticity_in_turn():
    assert head_names(2) == ("level-0", "log_elasticity-0", "level-1", "log_elasticity-1")
    level, log_elasticity = split_heads(torch.tensor([[1.0, 0.5, 2.0, 99.0]]))
    assert level.tolist() == [[1.0, 2.0]]
    assert log_elasticity.tolist() == [[0.5, LOG_ELASTICITIES[1]]]


@pytest.mark.parametrize("log_elasticity", [-50.0, -1.0, 0.0, 3.0, 50.0])
def test_demand_falls_in_price_whatever_the_heads_say(log_elasticity):
    prices = torch.linspace(-2.0, 2.0, 50)
    logits = torch.tensor([[7.0, log_elasticity]]).expand(50, 2)
    falls = response(logits, torch.zeros(50), prices)[:, 0].diff()
    assert (falls < 0).all()


def test_the_response_is_the_formula():
    found = response(torch.tensor([[1.0, np.log(2.0)]]), torch.tensor([0.5]), torch.tensor([0.3]))
    assert found.item() == pytest.approx(0.5 + 1.0 - 2.0 * 0.3)


def test_units_are_poisson():
    eta, units = np.asarray([0.1, -1.0, 2.0, 0.5]), np.asarray([0.0, 1.0, 9.0, 2.0])
    found = likelihood("units", torch.tensor(eta)[:, None], torch.tensor(units), ONES, ONES, torch.ones(4, 1))
    nll = -poisson.logpmf(units, np.exp(eta))
    # What does not depend on the model is left out.
    assert found.item() == pytest.approx((nll - gammaln(units + 1)).mean())


def test_purchases_are_binomial():
    eta, bought, shown = np.asarray([0.1, -3.0, 1.0, 0.0]), np.asarray([1.0, 0, 3, 5]), np.asarray([4.0, 10, 3, 9])
    found = likelihood(
        "purchase", torch.tensor(eta)[:, None], torch.tensor(bought), torch.tensor(shown), ONES, torch.ones(4, 1)
    )
    rate = 1 / (1 + np.exp(-eta))
    nll = -binom.logpmf(bought, shown, rate) + binom.logpmf(bought, shown, 0.5) + shown * np.log(2)
    assert found.item() == pytest.approx(nll.mean())


def test_choices_are_a_softmax_over_their_set():
    utilities = np.asarray([1.0, 2.0, 0.5, -1.0, 300.0])
    sets, chosen = torch.tensor([7, 7, 7, 2, 2]), torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    found = likelihood("choice", torch.tensor(utilities)[:, None], chosen, ONES, sets, torch.ones(5, 1))
    nll = (logsumexp(utilities[:3]) - 2.0) + (logsumexp(utilities[3:]) + 1.0)
    assert found.item() == pytest.approx(nll / 2)


def test_a_member_learns_from_its_own_sample():
    eta = torch.zeros(2, 2)
    weights = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    found = likelihood("units", eta, torch.tensor([1.0, 3.0]), ONES[:2], ONES[:2], weights)
    # exp(0) - y * 0 = 1 in every row, and each member's mean is of its own weights.
    assert found.tolist() == [1.0, 0.5]


def test_rows_without_a_unit_have_no_logarithm():
    responses = torch.tensor([[0.0], [1.0]])
    found = squared_error(responses, torch.tensor([0.0, float(np.e) ** 3]), torch.ones(2, 1))
    assert found.item() == pytest.approx(4.0, rel=1e-5)
    assert squared_error(responses, torch.zeros(2), torch.ones(2, 1)).item() == 0.0
