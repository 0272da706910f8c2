"""Demand that falls in price by construction: level and elasticity from a product's text, in pairs of heads."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.config import LOG_ELASTICITIES
from planogram.models import adalora
from planogram.models.heads import CrossEncoder, trained_tensors

# Of the log of expected units: a step that goes wrong must not overflow.
MAX_LOG_UNITS = 20.0


def head_names(members: int) -> tuple[str, ...]:
    """Names of the heads: level and log elasticity of each member in turn."""
    return tuple(f"{name}-{member}" for member in range(members) for name in ("level", "log_elasticity"))


def split_heads(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (rows, 2 * members) as levels and log elasticities, each (rows, members)."""
    return logits[:, 0::2], logits[:, 1::2].clamp(*LOG_ELASTICITIES)


def response(logits: Tensor, offset: Tensor, log_price: Tensor) -> Tensor:
    """Log units, log-odds of a purchase, or utility of a choice: offset + level - elasticity * log price.

    Args:
        logits: (rows, 2 * members).
        offset: (rows,) what is known of the level beside the text.
        log_price: (rows,) log of the price over the reference price.

    Returns:
        (rows, members), falling in the price for every member.
    """
    level, log_elasticity = split_heads(logits)
    return offset[:, None] + level - log_elasticity.exp() * log_price[:, None]


class DemandModel(nn.Module):
    """A cross-encoder whose texts are read once for all rows of a product.

    Args:
        scorer: what goes into the bundle, with the heads of `head_names`.
    """

    def __init__(self, scorer: CrossEncoder) -> None:
        super().__init__()
        self.scorer = scorer

    def before_step(self, step: int, total_steps: int) -> None:
        """Let AdaLoRA allocate its ranks, when the gradients of an optimizer step are there."""
        adalora.allocate(self.scorer.backbone, step, total_steps)

    def trained_weights(self) -> dict[str, Tensor]:
        """What goes into the bundle: name -> float32 on the CPU, without the frozen base of adapters."""
        return trained_tensors(self.scorer, self.scorer.backbone)

    def forward(self, rows: Tensor, features: Tensor | None, *texts: Tensor) -> Tensor:
        """Logits of rows.

        Args:
            rows: (rows,) the text of each row.
            features: (rows, columns) beside the text; None: the model takes none.
            texts: each text once: input ids, attention mask and token types, each (texts, tokens); or (texts, width)
                of `pooled`, where the backbone does not learn.

        Returns:
            (rows, 2 * members).
        """
        pooled = self.scorer.pooled(*texts) if len(texts) > 1 else texts[0]
        return self.scorer.scored(pooled[rows], features)

    @torch.no_grad()
    def pooled(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """(texts, width) of all texts, without dropout."""
        self.scorer.eval()
        found = torch.cat([self.scorer.pooled(*batch) for batch in batches])
        self.scorer.train()
        return found


def likelihood(
    kind: Literal["units", "purchase", "choice"],
    responses: Tensor,
    outcome: Tensor,
    exposure: Tensor,
    sets: Tensor,
    weights: Tensor,
) -> Tensor:
    """Negative log-likelihood per member, the mean over rows, or over choices; constants left out.

    `units`: Poisson with a log link. `purchase`: binomial with a logit link. `choice`: multinomial over the
    alternatives of a set (conditional logit, McFadden 1974).

    Args:
        kind: of the outcome.
        responses: (rows, members), see `response`.
        outcome: (rows,) units, purchases, or 1 for the alternative that was chosen.
        exposure: (rows,) impressions behind the purchases; 1 otherwise.
        sets: (rows,) number of the choice set.
        weights: (rows, members) how often a member's bootstrap sample has the row.

    Returns:
        (members,) float32.
    """
    if kind == "choice":
        return _choice_loss(responses, outcome, sets, weights)
    if kind == "units":
        losses = responses.clamp(max=MAX_LOG_UNITS).exp() - outcome[:, None] * responses
    else:
        losses = exposure[:, None] * functional.softplus(responses) - outcome[:, None] * responses
    return (weights * losses).mean(0)


def squared_error(responses: Tensor, outcome: Tensor, weights: Tensor) -> Tensor:
    """(members,) mean squared error of log units; rows without a unit have no logarithm and do not count."""
    sold = outcome > 0
    if not sold.any():
        return (responses * 0).sum(0)
    errors = responses[sold] - outcome[sold].log()[:, None]
    return (weights[sold] * errors.square()).mean(0)


def _choice_loss(responses: Tensor, outcome: Tensor, sets: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of whole sets; all rows of a set have the same weight."""
    numbers, members = torch.unique(sets, return_inverse=True)
    index = members[:, None].expand_as(responses)
    empty = responses.new_full((len(numbers), responses.shape[1]), -torch.inf)
    highest = empty.scatter_reduce(0, index, responses.detach(), "amax")
    shifted = responses - highest[members]
    totals = torch.zeros_like(empty).scatter_add(0, index, shifted.exp())
    chosen = outcome[:, None] * (totals.log()[members] - shifted)
    return (weights * chosen).sum(0) / len(numbers)
