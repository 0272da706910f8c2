"""The bi-encoder: one backbone turns queries and products into unit vectors, compared by their cosine."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from planogram.config import Pooling
from planogram.models import adalora
from planogram.models.heads import pool, trained_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class BiEncoder(nn.Module):
    """Encodes single texts.

    Args:
        backbone: a Hugging Face encoder or decoder.
        pooling: cls, mean or last.
    """

    def __init__(self, backbone: "PreTrainedModel", pooling: Pooling) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.takes_types = getattr(backbone.config, "type_vocab_size", 0) > 1

    def before_step(self, step: int, total_steps: int) -> None:
        """Let AdaLoRA allocate its ranks, when the gradients of an optimizer step are there."""
        adalora.allocate(self.backbone, step, total_steps)

    def trained_weights(self) -> dict[str, Tensor]:
        """What goes into the bundle: name -> float32 on the CPU, without the frozen base of adapters."""
        return trained_tensors(self, self.backbone)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Unit vectors (batch, width) of texts, each (batch, tokens)."""
        types = {"token_type_ids": token_type_ids} if self.takes_types else {}
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return functional.normalize(pool(hidden, attention_mask, token_type_ids, self.pooling).float(), dim=-1)
