"""Language models: a backbone under a head that names tokens, whose matrix is that of the input embeddings.

Tying the two is after Press & Wolf 2017. Logits are computed at the scored tokens alone: of a masked text that is one
token in seven, and the head of a small model costs more than its layers.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD = "lm_head."
Objective = Literal["masked", "causal"]


class MaskedLanguageModel(nn.Module):
    """An encoder with BERT's head: a dense layer, GELU and a norm, then the input embeddings and a bias (Devlin 2019).

    Args:
        backbone: an encoder.
    """

    def __init__(self, backbone: "PreTrainedModel") -> None:
        super().__init__()
        self.backbone = backbone
        self.lm_head = _Transform(backbone.config.hidden_size, *_embeddings(backbone).shape)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, scored: Tensor) -> Tensor:
        """Logits of the tokens that were masked.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens) 1 for a token, 0 for padding.
            scored: (scored,) places of the scored tokens in the flattened (batch * tokens).

        Returns:
            (scored, vocabulary) in the dtype of the weights.
        """
        states = self.lm_head(_states(self.backbone, input_ids, attention_mask, scored))
        return functional.linear(states, _embeddings(self.backbone), self.lm_head.bias)


class CausalLanguageModel(nn.Module):
    """A decoder that names each next token by its input embeddings, as GPT-2 does (Radford et al. 2019).

    Args:
        backbone: a decoder.

    Raises:
        ConfigError: its embeddings have another width than its states.
    """

    def __init__(self, backbone: "PreTrainedModel") -> None:
        super().__init__()
        self.backbone = backbone
        width = _embeddings(backbone).shape[1]
        if width != backbone.config.hidden_size:
            raise ConfigError(
                f"{backbone.config.model_type} has embeddings of {width} and states of {backbone.config.hidden_size}",
                remedy="choose a decoder in which they are equal",
            )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, scored: Tensor) -> Tensor:
        """Logits of the tokens after the scored places; shapes as of `MaskedLanguageModel.forward`."""
        return functional.linear(_states(self.backbone, input_ids, attention_mask, scored), _embeddings(self.backbone))


LanguageModel = MaskedLanguageModel | CausalLanguageModel


def language_model(backbone: "PreTrainedModel", objective: Objective) -> LanguageModel:
    """The backbone under the head of its objective.

    Raises:
        ConfigError: an encoder is to say what comes next, which it sees, or a decoder what it cannot look back from.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = backbone.config.model_type
    encodes = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if objective == "masked" and encodes:
        return MaskedLanguageModel(backbone)
    if objective == "causal" and not encodes and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return CausalLanguageModel(backbone)
    raise ConfigError(
        f"objective={objective} with a {kind} backbone",
        allowed="masked with an encoder such as bert, causal with a decoder such as gpt2",
        remedy="change objective, or the backbone (of scratch: backbone.family)",
    )


class _Transform(nn.Module):
    """(…, hidden) to (…, embedding), and the bias of every token."""

    def __init__(self, hidden_size: int, vocab_size: int, embedding_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, embedding_size)
        self.norm = nn.LayerNorm(embedding_size, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, states: Tensor) -> Tensor:
        return self.norm(functional.gelu(self.dense(states)))


def _embeddings(backbone: "PreTrainedModel") -> Tensor:
    weight: Tensor = backbone.get_input_embeddings().weight
    return weight


def _states(backbone: "PreTrainedModel", input_ids: Tensor, attention_mask: Tensor, scored: Tensor) -> Tensor:
    """(scored, hidden) last hidden states."""
    hidden = backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    return hidden.flatten(0, 1)[scored]
