"""The cross-encoder: a backbone over (query, product) text, pooling, and one linear head per task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.config import Pooling
from planogram.models import adalora
from planogram.models.adapters import trainable_state
from planogram.models.tower import Tower

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Of the cosine in the first logit, before anything is learned: scores of 0.5 to 0.95 for cosines of 0 to 0.6.
INITIAL_SIMILARITY = 5.0
BACKBONE = "backbone."


def pool(hidden_BTD: Tensor, mask_BT: Tensor, types_BT: Tensor, pooling: Pooling) -> Tensor:  # noqa: N803 - shapes
    """Features of each pair.

    Args:
        hidden_BTD: (batch, tokens, width) last hidden states.
        mask_BT: (batch, tokens) 1 for a token, 0 for padding.
        types_BT: (batch, tokens) 0 for the query's tokens, 1 for the product's.
        pooling: `cls`, the first token; `last`, the last one; `mean`, over all tokens; `pair`, the unit vectors u and v
            of the query's and the product's mean as (u * v, |u - v|, mean), after Conneau et al. 2017 (InferSent).

    Returns:
        (batch, width), for `pair` (batch, 3 * width).
    """
    if pooling == "cls":
        return hidden_BTD[:, 0]
    if pooling == "last":
        # The largest index of a token, wherever the padding stands.
        last = (torch.arange(mask_BT.shape[1], device=mask_BT.device) * mask_BT).argmax(1)
        return hidden_BTD[torch.arange(len(last), device=last.device), last]
    mean = _masked_mean(hidden_BTD, mask_BT)
    if pooling == "mean":
        return mean
    query = functional.normalize(_masked_mean(hidden_BTD, mask_BT * (1 - types_BT)), dim=-1)
    product = functional.normalize(_masked_mean(hidden_BTD, mask_BT * types_BT), dim=-1)
    return torch.cat([query * product, (query - product).abs(), mean], dim=-1)


def _masked_mean(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: N803 - shapes
    weights = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    return (hidden_BTD * weights).sum(1) / weights.sum(1).clamp(min=1)


class CrossEncoder(nn.Module):
    """Scores pairs of texts, or single texts.

    Args:
        backbone: a Hugging Face encoder or decoder.
        heads: names of the heads, in the order of the logits.
        pooling: how token states become one vector.
        dropout: before the heads.
        tower: the dense network beside the text; None: text alone.
    """

    def __init__(
        self,
        backbone: "PreTrainedModel",
        heads: Sequence[str],
        pooling: Pooling,
        dropout: float,
        tower: Tower | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_names = tuple(heads)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.tower = tower
        width = backbone.config.hidden_size
        pooled = 3 * width if pooling == "pair" else width
        self.heads = nn.Linear(pooled + (tower.hidden_size if tower else 0), len(heads))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)
        if pooling == "pair":
            # A sentence encoder ranks by the cosine, the sum of u * v: training starts there and not from noise.
            nn.init.constant_(self.heads.weight[:, :width], INITIAL_SIMILARITY)
        self.takes_types = getattr(backbone.config, "type_vocab_size", 0) > 1

    @torch.no_grad()
    def start_at(self, lines: Sequence[tuple[float, float]]) -> None:
        """Scale and shift the first logits of each head, before any training."""
        for row, (scale, shift) in enumerate(lines):
            self.heads.weight[row] *= scale
            self.heads.bias[row] = shift

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """Logits of all heads.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens) 1 for a token, 0 for padding.
            token_type_ids: (batch, tokens) 0 for the first text, 1 for the second.
            features: (batch, columns) float32, where the model has a tower.

        Returns:
            (batch, heads) in the dtype of the weights.
        """
        return self.scored(self.pooled(input_ids, attention_mask, token_type_ids), features)

    def pooled(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(batch, width) of the texts; see `forward` and `pool`."""
        types = {"token_type_ids": token_type_ids} if self.takes_types else {}
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return pool(hidden, attention_mask, token_type_ids, self.pooling)

    def scored(self, pooled: Tensor, features: Tensor | None = None) -> Tensor:
        """Logits (batch, heads) of pooled texts and what stands beside them; see `forward`."""
        pooled = self.dropout(pooled)
        if self.tower is not None:
            pooled = torch.cat([pooled, self.tower(features).to(pooled.dtype)], dim=-1)
        return self.heads(pooled)


class TrainedScorer(nn.Module):
    """A cross-encoder with what only training needs: a bias of positions, and the uncertainty of each task.

    Args:
        scorer: what goes into the bundle.
        num_positions: places on a page that have a bias of their own; 0: none has.
        uncertainty: learn the weights of the tasks.
    """

    def __init__(self, scorer: CrossEncoder, num_positions: int = 0, *, uncertainty: bool = False) -> None:
        super().__init__()
        self.scorer = scorer
        num_heads = len(scorer.head_names)
        self.position_bias = nn.Embedding(num_positions + 1, num_heads) if num_positions else None
        if self.position_bias is not None:
            nn.init.zeros_(self.position_bias.weight)
        #: log of each task's noise variance (Kendall et al. 2018)
        self.log_variances = nn.Parameter(torch.zeros(num_heads)) if uncertainty else None

    def before_step(self, step: int, total_steps: int) -> None:
        """Let AdaLoRA allocate its ranks, when the gradients of an optimizer step are there."""
        adalora.allocate(self.scorer.backbone, step, total_steps)

    def trained_weights(self) -> dict[str, Tensor]:
        """What goes into the bundle: name -> float32 on the CPU, without the frozen base of adapters."""
        return trained_tensors(self.scorer, self.scorer.backbone)

    def forward(self, *inputs: Tensor | None, positions: Tensor | None = None) -> Tensor:
        """Logits (batch, heads); with the bias of positions where they are given, which is in training alone."""
        logits: Tensor = self.scorer(*inputs)
        if self.position_bias is not None and positions is not None:
            logits = logits + self.position_bias(positions).to(logits.dtype)
        return logits


def trained_tensors(model: nn.Module, backbone: nn.Module) -> dict[str, Tensor]:
    """What of a model trained, adapters with what they have learned to leave out: name -> float32 on the CPU."""
    adapters = {f"{BACKBONE}{name}": tensor for name, tensor in trainable_state(backbone).items()}
    rest = {
        name: parameter.detach().float().cpu().clone(memory_format=torch.contiguous_format)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in adapters
    }
    return adapters | rest


def parameter_groups(model: nn.Module, backbone_rate: float, head_rate: float, decay: float) -> list[dict[str, object]]:
    """Optimizer groups: what is not of the backbone learns at its own rate; biases and norms do not decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = backbone_rate if "backbone." in name else head_rate
            groups.setdefault((rate, 0.0 if parameter.ndim < 2 else decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": wd} for (rate, wd), params in groups.items()]


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch; every rank draws its own dropout."""
    import random

    import numpy as np

    random.seed(seed * 1000 + rank)
    np.random.seed(seed * 1000 + rank)
    torch.manual_seed(seed * 1000 + rank)
