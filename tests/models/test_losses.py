"""Each loss against a float64 reference written as its formula reads."""

import math

import numpy as np
import pytest
import torch

from planogram.models import losses
from planogram.models.losses import LOSSES, MAX_GRADE, weighted_loss

GROUPS = np.array([3, 0, 3, 1, 0, 3, 0, 3, 2, 2, 5, 5, 5])
COMPARING = ["pairwise_logistic", "listnet", "listmle", "lambda_ndcg"]


def _batch(seed: int, weighted: bool = True) -> tuple[np.ndarray, ...]:
    """Lists of 1 to 4 with equal targets among them; the last list is of one target, and one weight is 0."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, len(GROUPS))
    targets = generator.integers(0, 4, len(GROUPS)) / 3
    targets[GROUPS == 5] = targets[-1]
    weights = generator.uniform(0.2, 5, len(GROUPS)) if weighted else np.ones(len(GROUPS))
    if weighted:
        weights[seed % 10] = 0.0
    return logits, targets, GROUPS, weights


def _lists(groups) -> list[np.ndarray]:
    return [np.flatnonzero(groups == group) for group in np.unique(groups)]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _mean(terms: list[tuple[float, float]]) -> float:
    """Of (weight, value)."""
    total = sum(weight for weight, _ in terms)
    return sum(weight * value for weight, value in terms) / total if total else 0.0


def _mse(logits, targets, groups, weights) -> float:
    return _mean([(w, (_sigmoid(s) - t) ** 2) for s, t, w in zip(logits, targets, weights, strict=True)])


def _entropy(s: float, t: float) -> float:
    return -(t * math.log(_sigmoid(s)) + (1 - t) * math.log(1 - _sigmoid(s)))


def _bce(logits, targets, groups, weights, smoothing=0.0) -> float:
    return _mean(
        [
            (w, _entropy(s, t * (1 - smoothing) + smoothing / 2))
            for s, t, w in zip(logits, targets, weights, strict=True)
        ]
    )


def _focal(logits, targets, groups, weights, gamma=2.0) -> float:
    return _mean(
        [(w, abs(t - _sigmoid(s)) ** gamma * _entropy(s, t)) for s, t, w in zip(logits, targets, weights, strict=True)]
    )


def _pairs(rows, targets) -> list[tuple[int, int]]:
    return [(i, j) for i in rows for j in rows if targets[i] > targets[j]]


def _ranknet(logits, i, j) -> float:
    return math.log(1 + math.exp(-(logits[i] - logits[j])))


def _pairwise_logistic(logits, targets, groups, weights) -> float:
    return _mean([(weights[i], _ranknet(logits, i, j)) for rows in _lists(groups) for i, j in _pairs(rows, targets)])


def _listnet(logits, targets, groups, weights) -> float:
    terms = []
    for rows in _lists(groups):
        if len(rows) > 1:
            wanted = np.exp(MAX_GRADE * targets[rows]) / np.exp(MAX_GRADE * targets[rows]).sum()
            given = np.exp(logits[rows]) / np.exp(logits[rows]).sum()
            terms += list(zip(weights[rows] * wanted, -np.log(given), strict=True))
    return _mean(terms)


def _listmle(logits, targets, groups, weights) -> float:
    terms = []
    for rows in _lists(groups):
        left = sorted(rows, key=lambda row: -targets[row])
        while left and targets[left[0]] > targets[left[-1]]:
            best = left[0]
            share = math.exp(logits[best]) / sum(math.exp(logits[row]) for row in left)
            terms.append((weights[best], -math.log(share)))
            left = left[1:]
    return _mean(terms)


def _discount(row, rows, scores) -> float:
    return 1 / math.log2(2 + sorted(rows, key=lambda other: -scores[other]).index(row))


def _lambda_ndcg(logits, targets, groups, weights, ranked_by=None) -> float:
    scores = logits if ranked_by is None else ranked_by
    gains = 2 ** (4 * targets) - 1
    total = list_weights = 0.0
    for rows in _lists(groups):
        pairs = _pairs(rows, targets)
        if pairs:
            ideal = sum(gains[row] * _discount(row, rows, targets) for row in rows)
            for i, j in pairs:
                swap = abs(gains[i] - gains[j]) * abs(_discount(i, rows, scores) - _discount(j, rows, scores))
                total += weights[i] * swap / ideal * _ranknet(logits, i, j)
            list_weights += np.mean([weights[i] for i, _ in pairs])
    return total / list_weights if list_weights else 0.0


REFERENCES = {
    "mse": _mse,
    "bce": _bce,
    "focal": _focal,
    "pairwise_logistic": _pairwise_logistic,
    "listnet": _listnet,
    "listmle": _listmle,
    "lambda_ndcg": _lambda_ndcg,
}


def _tensors(logits, targets, groups, weights, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    given = (torch.tensor(values, dtype=dtype) for values in (logits, targets, weights))
    logits, targets, weights = given
    return logits, targets, torch.tensor(groups), weights


def test_every_loss_has_a_reference():
    assert set(LOSSES) == set(REFERENCES)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_names_its_source(name):
    assert "Source:" in LOSSES[name].__doc__


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_its_reference(name, weighted, seed):
    batch = _batch(seed, weighted)
    expected = REFERENCES[name](*batch)
    assert LOSSES[name](*_tensors(*batch, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)
    single = LOSSES[name](*_tensors(*batch))
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", COMPARING)
def test_equal_scores_are_ranked_in_the_order_of_the_batch(name):
    logits, *rest = _batch(3)
    batch = (np.round(logits), *rest)
    assert LOSSES[name](*_tensors(*batch, dtype=torch.float64)).item() == pytest.approx(
        REFERENCES[name](*batch), rel=1e-12
    )


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_label_smoothing_moves_targets_to_one_half(smoothing):
    batch = _batch(1)
    given = losses.bce(*_tensors(*batch, dtype=torch.float64), label_smoothing=smoothing)
    assert given.item() == pytest.approx(_bce(*batch, smoothing), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_focal_gamma(gamma):
    batch = _batch(1)
    given = losses.focal(*_tensors(*batch, dtype=torch.float64), gamma=gamma)
    assert given.item() == pytest.approx(_focal(*batch, gamma), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_has_a_gradient_where_the_sigmoid_is_saturated(gamma):
    scores = torch.tensor([100.0, -100.0, 0.0], requires_grad=True)
    losses.focal(scores, torch.tensor([1.0, 0.0, 0.5]), torch.zeros(3).long(), torch.ones(3), gamma=gamma).backward()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_finite_differences(name):
    scores, *rest = _tensors(*_batch(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: LOSSES[name](logits, *rest), scores.requires_grad_())


def test_ranks_of_lambda_ndcg_carry_no_gradient():
    logits, *rest = _batch(0)
    scores, *tensors = _tensors(logits, *rest, dtype=torch.float64)
    losses.lambda_ndcg(scores.requires_grad_(), *tensors).backward()
    step = 1e-6
    for index in range(len(logits)):
        moved = [logits + sign * step * (np.arange(len(logits)) == index) for sign in (1, -1)]
        up, down = (_lambda_ndcg(one, *rest, ranked_by=logits) for one in moved)
        assert scores.grad[index].item() == pytest.approx((up - down) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name):
    scores = torch.tensor([1e4, -1e4, 80.0, -80.0], requires_grad=True)
    groups, weights = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1e4, 1e-4, 1.0])
    loss = LOSSES[name](scores, torch.tensor([0.0, 1.0, 0.0, 1.0]), groups, weights)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_common_factor_of_the_weights_changes_nothing(name):
    *batch, weights = _tensors(*_batch(4), dtype=torch.float64)
    expected = LOSSES[name](*batch, weights).item()
    assert LOSSES[name](*batch, 1e-3 * weights).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_batch_does_not_matter(name):
    logits, targets, groups, weights = _batch(2)
    targets = np.random.default_rng(2).permutation(len(logits)) / len(logits)
    order = np.random.default_rng(3).permutation(len(logits))
    batch = logits, targets, groups, weights
    shuffled = LOSSES[name](*_tensors(*(values[order] for values in batch), dtype=torch.float64)).item()
    assert shuffled == pytest.approx(LOSSES[name](*_tensors(*batch, dtype=torch.float64)).item(), rel=1e-12)


@pytest.mark.parametrize("name", COMPARING)
def test_rankers_ignore_a_shift_of_a_list_and_lists_do_not_mix(name):
    logits, targets, groups, weights = _batch(1)
    expected = LOSSES[name](*_tensors(logits, targets, groups, weights, torch.float64)).item()
    shifted = LOSSES[name](*_tensors(logits + 5.0 * groups, targets, groups, weights, torch.float64)).item()
    assert shifted == pytest.approx(expected, rel=1e-12)


def _assert_zero(name, targets, groups, weights) -> None:
    scores = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    loss = LOSSES[name](scores, torch.tensor(targets), torch.tensor(groups), torch.tensor(weights))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(scores.grad, torch.zeros(3))


@pytest.mark.parametrize("name", COMPARING)
def test_lists_of_one_are_zero(name):
    _assert_zero(name, [1.0, 0.0, 0.5], [0, 1, 2], [1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", ["pairwise_logistic", "listmle", "lambda_ndcg"])
@pytest.mark.parametrize("target", [0.0, 0.5])
def test_equal_targets_are_not_compared(name, target):
    _assert_zero(name, [target] * 3, [0, 0, 0], [1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_zero_are_zero(name):
    _assert_zero(name, [1.0, 0.0, 0.5], [0, 0, 0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", COMPARING)
def test_an_example_without_weight_still_competes(name):
    targets, groups, weights = torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), torch.tensor([1.0, 0.0])
    scores = torch.tensor([0.0, 0.0], requires_grad=True)
    LOSSES[name](scores, targets, groups, weights).backward()
    assert scores.grad[0] < 0 < scores.grad[1]


@pytest.mark.parametrize("name", LOSSES)
def test_the_right_order_costs_less_than_the_wrong_one(name):
    rest = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0, 0, 0]), torch.ones(3)
    right, wrong = torch.tensor([2.0, 0.0, -2.0]), torch.tensor([-2.0, 0.0, 2.0])
    assert LOSSES[name](right, *rest) < LOSSES[name](wrong, *rest)


def test_lambda_ndcg_cares_most_for_the_top():
    """Two swaps of neighbours, of which the upper one costs more NDCG and so is pushed harder."""
    scores = torch.tensor([3.0, 2.0, 1.0, 0.0], requires_grad=True)
    losses.lambda_ndcg(scores, torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.zeros(4).long(), torch.ones(4)).backward()
    assert scores.grad[0] > scores.grad[2]


def test_the_weighted_loss_is_the_sum_in_float32():
    batch = _batch(2, weighted=False)
    weights = {"bce": 0.5, "listnet": 2.0}
    expected = 0.5 * _bce(*batch) + 2.0 * _listnet(*batch)
    logits, targets, groups, _ = _tensors(*batch)
    assert weighted_loss(weights, logits, targets, groups).item() == pytest.approx(expected, rel=1e-5)
    half = weighted_loss(weights, logits.bfloat16(), targets, groups)
    assert half.dtype == torch.float32
    rounded = (logits.bfloat16().double().numpy(), *batch[1:])
    assert half.item() == pytest.approx(0.5 * _bce(*rounded) + 2.0 * _listnet(*rounded), rel=1e-5)


def test_the_weighted_loss_passes_weights_and_options_on():
    batch = _batch(2)
    expected = _bce(*batch, 0.2) + 3.0 * _focal(*batch, 1.0) + _listmle(*batch)
    names = {"bce": 1.0, "focal": 3.0, "listmle": 1.0}
    given = weighted_loss(names, *_tensors(*batch), label_smoothing=0.2, focal_gamma=1.0)
    assert given.item() == pytest.approx(expected, rel=1e-5)
