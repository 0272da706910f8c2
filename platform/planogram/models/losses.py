"""Losses over graded lists. Each takes float32 and returns the mean over what it compares.

Shapes: logits and targets are (batch,); targets are grades scaled to 0..1; groups are (batch,) int64, and examples with
the same number belong to one list (one query).
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def mse(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:  # noqa: ARG001 - one signature for all losses
    """Squared error between sigmoid(logit) and the target."""
    return functional.mse_loss(torch.sigmoid(logits), targets)


def bce(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:  # noqa: ARG001 - one signature for all losses
    """Binary cross-entropy with soft targets: a grade read as the probability of satisfaction."""
    return functional.binary_cross_entropy_with_logits(logits, targets)


def pairwise_logistic(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """log(1 + exp(-(s_i - s_j))) over pairs of one list whose targets differ, t_i > t_j.

    Source: Burges et al. 2005, Learning to Rank using Gradient Descent (RankNet).
    """
    comparable = (groups[:, None] == groups[None, :]) & (targets[:, None] > targets[None, :])
    losses = functional.softplus(-(logits[:, None] - logits[None, :]))
    return (losses * comparable).sum() / comparable.sum().clamp(min=1)


def listnet(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """Cross-entropy between the softmax of the targets and that of the logits, per list; lists of one are left out.

    Targets are spread over 0..`SPREAD` before the softmax, since a softmax over 0..1 is almost flat.

    Source: Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach (top-one probabilities).
    """
    same = groups[:, None] == groups[None, :]
    hidden = ~same
    target_logs = torch.where(hidden, -torch.inf, SPREAD * targets[None, :]).softmax(dim=1)
    logit_logs = torch.where(hidden, -torch.inf, logits[None, :].expand_as(same)).log_softmax(dim=1)
    # Each list of n stands in n rows: a row's share of 1/n makes it count once.
    sizes = same.sum(1)
    rows = -(target_logs * logit_logs.masked_fill(hidden, 0.0)).sum(1) / sizes
    counted = sizes > 1
    lists = (counted / sizes).sum().clamp(min=1)
    return (rows * counted).sum() / lists


SPREAD = 4.0

LOSSES = {"mse": mse, "bce": bce, "pairwise_logistic": pairwise_logistic, "listnet": listnet}


def weighted_loss(weights: Mapping[str, float], logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """The weighted sum of the named losses, in float32.

    Args:
        weights: name in `LOSSES` -> weight.
        logits: (batch,) one head.
        targets: (batch,) 0..1.
        groups: (batch,) list number.
    """
    scores = logits.float()
    terms = [weight * LOSSES[name](scores, targets, groups) for name, weight in weights.items()]
    return torch.stack(terms).sum()
