"""Prefix tuning (Li & Liang 2021): learned keys and values before those of the text, in every layer.

PEFT's implementation hands them over as a cache of past tokens. That serves decoders alone: BERT makes its mask
without looking at the cache, and a cache moves the text to later positions, which a short encoder does not have. So
they join at the attention function that all newer architectures of transformers look up by name: text keeps its
positions, prefixes have none, and padding stays masked. Attention is torch's SDPA then.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "planogram_prefix"
# Where attention notes its layers, keys and values while a prefix is being attached.
_recording: ContextVar[list[tuple[Any, Tensor, Tensor]] | None] = ContextVar("recording", default=None)


class Prefix(nn.Module):
    """Keys and values of one layer.

    Args:
        key, value: (heads, prefix tokens, head width) to start from.
    """

    def __init__(self, key: Tensor, value: Tensor) -> None:
        super().__init__()
        self.key = nn.Parameter(key)
        self.value = nn.Parameter(value)

    def forward(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, heads, tokens, head width) with the prefix in front."""
        return _in_front(self.key, key), _in_front(self.value, value)


def attach(backbone: "PreTrainedModel", count: int) -> None:
    """Give every attention layer `count` prefix tokens.

    They start as the keys and values of random words, which the paper finds better than noise.

    Raises:
        ConfigError: attention of this architecture cannot be reached, or `count` is beyond its positions.
    """
    positions = getattr(backbone.config, "max_position_embeddings", None)
    if positions and count > positions:
        raise ConfigError(
            f"adapter.prefix_tokens={count}", allowed=f"1 to {positions}", remedy="lower adapter.prefix_tokens"
        )
    before = backbone.config._attn_implementation
    use_attention()
    backbone.config._attn_implementation = ATTENTION
    calls = _record(backbone, count)
    if not calls:
        backbone.config._attn_implementation = before
        raise ConfigError(
            f"adapter.method=prefix does not reach the attention of {backbone.config.model_type}",
            allowed="architectures on the attention interface of transformers: BERT, GPT-2, ModernBERT, Llama, Qwen …",
            remedy="set adapter.method=lora",
        )
    for layer, key, value in calls:
        layer.prefix = Prefix(key[0].float().clone(), value[0].float().clone())


def use_attention() -> None:
    """Make the attention known to transformers; more than once does no harm."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, _whole_mask)


@torch.no_grad()
def _record(backbone: "PreTrainedModel", count: int) -> list[tuple[Any, Tensor, Tensor]]:
    """Attention layers with their keys and values (1, heads, count, head width) of random words."""
    calls: list[tuple[Any, Tensor, Tensor]] = []
    words = torch.randint(backbone.config.vocab_size, (1, count), device=backbone.device)
    training = backbone.training
    token = _recording.set(calls)
    try:
        backbone.eval()(input_ids=words, attention_mask=torch.ones_like(words))
    finally:
        _recording.reset(token)
        backbone.train(training)
    return calls


def _attend(layer: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Any:
    """Attention over prefix and text; the mask is (batch, 1, tokens, tokens), True where a token is seen."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    calls = _recording.get()
    if calls is not None:
        calls.append((layer, key, value))
    prefix = getattr(layer, "prefix", None)
    if prefix is not None:
        count = prefix.key.shape[1]
        key, value = prefix(key, value)
        mask = functional.pad(mask, (count, 0), value=True)
    return sdpa_attention_forward(layer, query, key, value, mask, **kwargs)


def _whole_mask(*args: Any, **kwargs: Any) -> Tensor:
    """The mask in full: where transformers leaves it out, the prefix would be taken for the text."""
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False})


def _in_front(prefix_HPD: Tensor, text_BHTD: Tensor) -> Tensor:  # noqa: N803 - shapes
    prefix = prefix_HPD.to(text_BHTD.dtype).expand(len(text_BHTD), -1, -1, -1)
    return torch.cat([prefix, text_BHTD], dim=2)
