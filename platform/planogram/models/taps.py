"""What a backbone of the BERT family computes in its last layer, seen from outside."""

from typing import Any

from torch import Tensor, nn

from planogram.models.heads import CrossEncoder
from planogram.models.pruning import encoder_layers

RELATED = ("query", "key", "value")


class Taps:
    """Keeps what the last forward pass of a model gave.

    Args:
        model: whose last layer is seen, from now on.

    Attributes:
        states: `hidden` (batch, tokens, width) and `query`, `key`, `value` (batch, tokens, width of all heads).
    """

    def __init__(self, model: CrossEncoder) -> None:
        self.states: dict[str, Tensor] = {}
        last = encoder_layers(model.backbone)[-1]
        last.output.register_forward_hook(self._keep("hidden"))
        for name in RELATED:
            getattr(last.attention.self, name).register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Any:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
            self.states[name] = output

        return hook
