"""The cross-encoder: a backbone over (query, product) text, pooling, and one linear head per task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Pooling = Literal["cls", "mean", "pair"]
# Of the cosine in the first logit, before anything is learned: scores of 0.5 to 0.95 for cosines of 0 to 0.6.
INITIAL_SIMILARITY = 5.0


def pool(hidden_BTD: Tensor, mask_BT: Tensor, types_BT: Tensor, pooling: Pooling) -> Tensor:  # noqa: N803 - shapes
    """Features of each pair.

    Args:
        hidden_BTD: (batch, tokens, width) last hidden states.
        mask_BT: (batch, tokens) 1 for a token, 0 for padding.
        types_BT: (batch, tokens) 0 for the query's tokens, 1 for the product's.
        pooling: `cls`, the first token; `mean`, over all tokens; `pair`, the unit vectors u and v of the query's and
            the product's mean as (u * v, |u - v|, mean), after Conneau et al. 2017 (InferSent).

    Returns:
        (batch, width), for `pair` (batch, 3 * width).
    """
    if pooling == "cls":
        return hidden_BTD[:, 0]
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
    """Scores pairs of texts.

    Args:
        backbone: a Hugging Face encoder.
        heads: names of the heads, in the order of the logits.
        pooling: how token states become one vector.
        dropout: before the heads.
    """

    def __init__(self, backbone: "PreTrainedModel", heads: Sequence[str], pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_names = tuple(heads)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        width = backbone.config.hidden_size
        self.heads = nn.Linear(3 * width if pooling == "pair" else width, len(heads))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)
        if pooling == "pair":
            # A sentence encoder ranks by the cosine, the sum of u * v: training starts there and not from noise.
            nn.init.constant_(self.heads.weight[:, :width], INITIAL_SIMILARITY)
        self.takes_types = getattr(backbone.config, "type_vocab_size", 0) > 1

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Logits of all heads.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens) 1 for a token, 0 for padding.
            token_type_ids: (batch, tokens) 0 for the query, 1 for the product.

        Returns:
            (batch, heads) in the dtype of the weights.
        """
        types = {"token_type_ids": token_type_ids} if self.takes_types else {}
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        pooled = pool(hidden, attention_mask, token_type_ids, self.pooling)
        return self.heads(self.dropout(pooled))


def parameter_groups(
    model: CrossEncoder, backbone_rate: float, head_rate: float, decay: float
) -> list[dict[str, object]]:
    """Optimizer groups: heads learn at their own rate; biases and norms do not decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = head_rate if name.startswith("heads.") else backbone_rate
            groups.setdefault((rate, 0.0 if parameter.ndim < 2 else decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": wd} for (rate, wd), params in groups.items()]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch; every rank draws its own dropout."""
    import random

    import numpy as np

    random.seed(seed * 1000 + rank)
    np.random.seed(seed * 1000 + rank)
    torch.manual_seed(seed * 1000 + rank)
