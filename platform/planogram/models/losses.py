"""Losses over graded lists.

All have one signature, `(logits, targets, groups, weights)`, and return a scalar in the dtype of the logits:

- logits: (batch,) float32 scores of one head;
- targets: (batch,) float32, grades scaled to 0..1;
- groups: (batch,) int64; examples with the same number belong to one list (one query), in any order;
- weights: (batch,) float32, 0 or more, the importance of each example, such as its inverse propensity.

The result is a weighted mean over what is compared, so a common factor of the weights changes nothing, and weights of
one are no weights. Where examples are compared with each other, the weight is that of the preferred one (Joachims et
al. 2017): an example of weight 0 is never preferred, but still competes. With nothing to compare the result is 0 and so
is its gradient.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

# A target of 1 is this grade wherever a formula wants grades: gains of 2^grade - 1, and the softmax of ListNet, which
# over 0..1 would be almost flat.
MAX_GRADE = 4.0


def mse(logits: Tensor, targets: Tensor, groups: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG001 - one signature
    """Squared error between sigmoid(logit) and the target.

    Source: Brier 1950, Verification of Forecasts Expressed in Terms of Probability.
    """
    return _weighted_mean((torch.sigmoid(logits) - targets).square(), weights)


def bce(
    logits: Tensor,
    targets: Tensor,
    groups: Tensor,  # noqa: ARG001 - one signature
    weights: Tensor,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Binary cross-entropy with soft targets: a grade read as the probability of satisfaction.

    `label_smoothing` s moves the targets towards one half: t (1 - s) + s / 2.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision (label smoothing).
    """
    smooth = targets * (1 - label_smoothing) + label_smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return _weighted_mean(losses, weights)


def focal(
    logits: Tensor,
    targets: Tensor,
    groups: Tensor,  # noqa: ARG001 - one signature
    weights: Tensor,
    *,
    gamma: float = 2.0,
) -> Tensor:
    """Cross-entropy times |t - sigmoid(s)|^gamma: what is already right counts less; gamma 0 is `bce`.

    With targets of 0 and 1 this is Lin's (1 - p_t)^gamma; with soft ones it still is least at sigmoid(s) = t.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection; for soft targets Li et al. 2020, Generalized Focal
    Loss (quality focal loss).
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    # x^gamma has an infinite slope at 0 for gamma below 1, and a saturated sigmoid gets there.
    gap = (targets - torch.sigmoid(logits)).abs().clamp(min=torch.finfo(logits.dtype).eps)
    return _weighted_mean(gap.pow(gamma) * losses, weights)


def pairwise_logistic(logits: Tensor, targets: Tensor, groups: Tensor, weights: Tensor) -> Tensor:
    """log(1 + exp(-(s_i - s_j))) over pairs of one list with t_i > t_j, weighted by w_i; the mean is over all pairs.

    Source: Burges et al. 2005, Learning to Rank using Gradient Descent (RankNet); the weighting is of Joachims et al.
    2017, Unbiased Learning-to-Rank with Biased Feedback.
    """
    preferred = _preferred(targets, same_list(groups))
    return _weighted_mean(_ranknet(logits), preferred * weights[:, None])


def listnet(logits: Tensor, targets: Tensor, groups: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy -sum p_i log q_i between the softmax p of the grades and q of the logits in a list.

    A term counts w_i times, and the sum over all lists is divided by the sum of w_i p_i: without weights, that is the
    mean over lists. Lists of one are left out.

    Source: Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach (top-one probabilities).
    """
    same = same_list(groups)
    wanted = list_log_softmax(MAX_GRADE * targets, same).exp()
    return _weighted_mean(-list_log_softmax(logits, same), weights * wanted * (same.sum(1) > 1))


def listmle(logits: Tensor, targets: Tensor, groups: Tensor, weights: Tensor) -> Tensor:
    """-log P(the list is drawn best first) under Plackett-Luce: the mean over draws, each weighted by what is drawn.

    Equal targets are drawn in the order of the batch. Draws from what is all of the lowest target say nothing and are
    left out, as in the top-k form of the loss; so a list of equal targets counts nothing.

    Source: Xia et al. 2008, Listwise Approach to Learning to Rank: Theory and Algorithm; Xia et al. 2009, Statistical
    Consistency of Top-k Ranking.
    """
    order = torch.argsort(targets, descending=True, stable=True)
    logits, targets, groups, weights = logits[order], targets[order], groups[order], weights[order]
    same = same_list(groups)
    lowest = targets.expand_as(same).masked_fill(~same, torch.inf).amin(dim=1)
    return _weighted_mean(_log_sum_exp(logits, same.triu()) - logits, weights * (targets > lowest))


def lambda_ndcg(logits: Tensor, targets: Tensor, groups: Tensor, weights: Tensor) -> Tensor:
    """RankNet's pairs weighted by how much swapping the two would change NDCG at their present ranks (LambdaRank).

    delta_ij = |gain_i - gain_j| |discount_i - discount_j| / ideal DCG, gain = 2^(4 target) - 1, discount = 1 / log2(1 +
    rank). Ranks follow the scores without a gradient; equal scores rank in the order of the batch. A list is the sum
    of its pairs; the result is the mean over lists that have pairs, each list weighing the mean weight of its pairs.

    Source: Wang et al. 2018, The LambdaLoss Framework for Ranking Metric Optimization (the LambdaRank bound).
    """
    same = same_list(groups)
    preferred = _preferred(targets, same)
    gains = torch.exp2(MAX_GRADE * targets) - 1
    ideal = (same * (gains * _discounts(targets, same))).sum(1)
    discounts = _discounts(logits.detach(), same)
    deltas = _differences(gains).abs() * _differences(discounts).abs() / _or_one(ideal)[:, None]
    pair_weights = preferred * weights[:, None]
    pairs_in_list = (same * preferred.sum(1)).sum(1)
    list_weights = (pair_weights / pairs_in_list.clamp(min=1)[:, None]).sum()
    return (pair_weights * deltas * _ranknet(logits)).sum() / _or_one(list_weights)


Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {
    "mse": mse,
    "bce": bce,
    "focal": focal,
    "pairwise_logistic": pairwise_logistic,
    "listnet": listnet,
    "listmle": listmle,
    "lambda_ndcg": lambda_ndcg,
}


def weighted_loss(
    weights: Mapping[str, float],
    logits: Tensor,
    targets: Tensor,
    groups: Tensor,
    example_weights: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
) -> Tensor:
    """The weighted sum of the named losses, in float32.

    Args:
        weights: name in `LOSSES` -> weight.
        logits: (batch,) one head, of any floating dtype.
        targets: (batch,) 0..1.
        groups: (batch,) list number.
        example_weights: (batch,) 0 or more; absent: all ones.
        label_smoothing: of `bce`, 0..1.
        focal_gamma: of `focal`, 0 or more.
    """
    scores = logits.float()
    importance = torch.ones_like(scores) if example_weights is None else example_weights.float()
    options = {"bce": {"label_smoothing": label_smoothing}, "focal": {"gamma": focal_gamma}}
    terms = [
        weight * LOSSES[name](scores, targets.float(), groups, importance, **options.get(name, {}))
        for name, weight in weights.items()
    ]
    return torch.stack(terms).sum()


def same_list(groups: Tensor) -> Tensor:
    """(batch, batch) bool: whether two examples, or an example and itself, belong to one list."""
    return groups[:, None] == groups[None, :]


def list_log_softmax(scores: Tensor, same: Tensor) -> Tensor:
    """(batch,) log of each example's share in the softmax over its own list, from (batch,) and (batch, batch) bool."""
    return scores - _log_sum_exp(scores, same)


def _log_sum_exp(scores: Tensor, among: Tensor) -> Tensor:
    return scores.expand_as(among).masked_fill(~among, -torch.inf).logsumexp(dim=1)


def _preferred(targets: Tensor, same: Tensor) -> Tensor:
    """(batch, batch) bool: row i is of the same list as column j and has the higher target."""
    return same & (targets[:, None] > targets[None, :])


def _ranknet(logits: Tensor) -> Tensor:
    return functional.softplus(-_differences(logits))


def _differences(values: Tensor) -> Tensor:
    return values[:, None] - values[None, :]


def _discounts(scores: Tensor, same: Tensor) -> Tensor:
    """(batch,) 1 / log2(1 + rank), the rank in the example's own list by descending score, ties by batch order."""
    higher = scores[None, :] > scores[:, None]
    tied_before = (scores[None, :] == scores[:, None]).tril(diagonal=-1)
    ranks = 1 + (same & (higher | tied_before)).sum(1)
    return 1 / torch.log2(1 + ranks.to(scores.dtype))


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / _or_one(weights.sum())


def _or_one(total: Tensor) -> Tensor:
    """A divisor that is never zero: where it would be, what it divides is zero too."""
    return torch.where(total > 0, total, torch.ones_like(total))
