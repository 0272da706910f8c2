"""Each loss against a float64 reference written as its formula reads."""

import math

import numpy as np
import pytest
import torch

from planogram.models.losses import LOSSES, SPREAD, weighted_loss

GROUPS = np.array([3, 0, 3, 1, 0, 3, 0, 3, 2, 2])


def _batch(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, len(GROUPS))
    targets = generator.integers(0, 4, len(GROUPS)) / 3
    return logits, targets, GROUPS


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _mse(logits, targets, groups) -> float:
    return sum((_sigmoid(s) - t) ** 2 for s, t in zip(logits, targets, strict=True)) / len(logits)


def _bce(logits, targets, groups) -> float:
    terms = [
        -(t * math.log(_sigmoid(s)) + (1 - t) * math.log(1 - _sigmoid(s))) for s, t in zip(logits, targets, strict=True)
    ]
    return sum(terms) / len(terms)


def _pairwise_logistic(logits, targets, groups) -> float:
    terms = [
        math.log(1 + math.exp(-(logits[i] - logits[j])))
        for i in range(len(logits))
        for j in range(len(logits))
        if groups[i] == groups[j] and targets[i] > targets[j]
    ]
    return sum(terms) / max(1, len(terms))


def _listnet(logits, targets, groups) -> float:
    lists = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    terms = []
    for rows in lists:
        if len(rows) > 1:
            wanted = np.exp(SPREAD * targets[rows]) / np.exp(SPREAD * targets[rows]).sum()
            given = np.exp(logits[rows]) / np.exp(logits[rows]).sum()
            terms.append(-(wanted * np.log(given)).sum())
    return sum(terms) / max(1, len(terms))


REFERENCES = {"mse": _mse, "bce": _bce, "pairwise_logistic": _pairwise_logistic, "listnet": _listnet}


def _tensors(logits, targets, groups, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    return torch.tensor(logits, dtype=dtype), torch.tensor(targets, dtype=dtype), torch.tensor(groups)


def test_every_loss_has_a_reference():
    assert set(LOSSES) == set(REFERENCES)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_its_reference(name, seed):
    batch = _batch(seed)
    expected = REFERENCES[name](*batch)
    assert LOSSES[name](*_tensors(*batch, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)
    assert LOSSES[name](*_tensors(*batch)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_finite_differences(name):
    logits, targets, groups = _batch(0)
    scores, *rest = _tensors(logits, targets, groups, dtype=torch.float64)
    scores.requires_grad_()
    LOSSES[name](scores, *rest).backward()
    step = 1e-6
    for index in range(len(logits)):
        moved = [
            REFERENCES[name](logits + sign * step * (np.arange(len(logits)) == index), targets, groups)
            for sign in (1, -1)
        ]
        assert scores.grad[index].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name):
    scores = torch.tensor([1e4, -1e4, 80.0, -80.0], requires_grad=True)
    loss = LOSSES[name](scores, torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", ["pairwise_logistic", "listnet"])
def test_rankers_ignore_a_shift_of_a_list_and_lists_do_not_mix(name):
    logits, targets, groups = _batch(1)
    shifted = logits + 5.0 * groups
    loss = LOSSES[name]
    expected = loss(*_tensors(logits, targets, groups, torch.float64)).item()
    assert loss(*_tensors(shifted, targets, groups, torch.float64)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["pairwise_logistic", "listnet"])
def test_a_batch_without_anything_to_compare_is_zero(name):
    scores = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    loss = LOSSES[name](scores, torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(scores.grad, torch.zeros(3))


def test_equal_targets_are_not_compared():
    scores = torch.tensor([1.0, -2.0])
    assert LOSSES["pairwise_logistic"](scores, torch.tensor([0.5, 0.5]), torch.tensor([0, 0])).item() == 0.0


@pytest.mark.parametrize("name", LOSSES)
def test_the_right_order_costs_less_than_the_wrong_one(name):
    targets, groups = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0, 0, 0])
    right, wrong = torch.tensor([2.0, 0.0, -2.0]), torch.tensor([-2.0, 0.0, 2.0])
    assert LOSSES[name](right, targets, groups) < LOSSES[name](wrong, targets, groups)


def test_the_weighted_loss_is_the_sum_in_float32():
    batch = _batch(2)
    weights = {"bce": 0.5, "listnet": 2.0}
    expected = 0.5 * _bce(*batch) + 2.0 * _listnet(*batch)
    assert weighted_loss(weights, *_tensors(*batch)).item() == pytest.approx(expected, rel=1e-5)
    logits, targets, groups = _tensors(*batch)
    half = weighted_loss(weights, logits.bfloat16(), targets, groups)
    assert half.dtype == torch.float32
    rounded = logits.bfloat16().double().numpy()
    assert half.item() == pytest.approx(0.5 * _bce(rounded, *batch[1:]) + 2.0 * _listnet(rounded, *batch[1:]), rel=1e-5)
