"""Bottleneck adapters (Houlsby et al. 2019): a small network after each of a layer's two sublayers.

It stands where the paper puts it: on the projection back to the model's width, before the residual connection. A hook
on that projection holds it, so that the backbone's own weights keep their names.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

from planogram.errors import ConfigError
from planogram.models.linears import features, linear_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Last parts of the names of the projections that end attention and feed-forward, by family:
# BERT; GPT-2; Llama, Qwen, Mistral; DistilBERT; ModernBERT; OPT, BART.
PROJECTIONS = (
    *("output.dense", "c_proj", "o_proj", "down_proj", "attention.out_lin", "ffn.lin2"),
    *("attn.Wo", "mlp.Wo", "self_attn.out_proj", "fc2"),
)


class Bottleneck(nn.Module):
    """x + up(gelu(down(x))), the identity at first.

    Args:
        width: of the backbone.
        bottleneck: of the network between.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        change = self.up(functional.gelu(self.down(hidden.to(self.down.weight.dtype))))
        return hidden + change.to(hidden.dtype)


def attach(backbone: "PreTrainedModel", bottleneck: int) -> None:
    """Put a bottleneck behind both sublayers of every layer.

    Raises:
        ConfigError: the two projections of a layer are not known for this architecture.
    """
    width = backbone.config.hidden_size
    found = [
        layer
        for name, layer in linear_layers(backbone)
        if f".{name}".endswith(tuple(f".{last}" for last in PROJECTIONS)) and features(layer)[1] == width
    ]
    if len(found) != 2 * backbone.config.num_hidden_layers:
        raise ConfigError(
            f"adapter.method=houlsby does not know the layers of {backbone.config.model_type}",
            allowed="the families of BERT, DistilBERT, ModernBERT, GPT-2, Llama, OPT",
            remedy="set adapter.method=lora",
        )
    for layer in found:
        layer.houlsby = Bottleneck(width, bottleneck).to(layer.weight.device)
        layer.register_forward_hook(_adapt_output)


def _adapt_output(layer: Any, _: tuple[Any, ...], output: Tensor) -> Tensor:
    return layer.houlsby(output)
