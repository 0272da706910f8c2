"""Backbones of which heads, neurons and layers were removed: smaller dense matrices, so that every engine gains.

What stays stands in the architecture's `config.json`, under `SHAPE`; whoever builds the backbone reads it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from planogram.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHAPE = "planogram_shape"
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class KeptLayer:
    """What of a layer stays.

    Attributes:
        layer: its number.
        heads: rising numbers of its attention heads, one at least.
        neurons: rising numbers of its feed-forward neurons, one at least.
    """

    layer: int
    heads: Indices
    neurons: Indices


def encoder_layers(backbone: "PreTrainedModel") -> nn.ModuleList:
    """The layers of a backbone of the BERT family.

    Raises:
        ConfigError: it is of another architecture.
    """
    layers = getattr(getattr(backbone, "encoder", None), "layer", None)
    if layers is None or not hasattr(layers[0], "intermediate"):
        raise ConfigError(
            f"a {backbone.config.model_type} backbone has no layers of BERT's kind",
            allowed="bert, roberta, xlm-roberta, electra",
            remedy="choose another backbone; or leave `prune` out, and set distill.hidden and distill.relations to 0",
        )
    return layers


def head_size(backbone: "PreTrainedModel") -> int:
    """Width of one attention head."""
    return int(backbone.config.hidden_size // backbone.config.num_attention_heads)


def unit_costs(backbone: "PreTrainedModel", tokens: int) -> tuple[float, float]:
    """Multiplications of a head and of a neuron, for one text of so many tokens."""
    width, size = backbone.config.hidden_size, head_size(backbone)
    return float(tokens * size * (4 * width + 2 * tokens)), float(tokens * 2 * width)


def multiplications(backbone: "PreTrainedModel", tokens: int) -> float:
    """Of all layers, for one text of so many tokens."""
    layers, size = encoder_layers(backbone), head_size(backbone)
    heads = sum(layer.attention.output.dense.in_features // size for layer in layers)
    neurons = sum(layer.output.dense.in_features for layer in layers)
    per_head, per_neuron = unit_costs(backbone, tokens)
    return heads * per_head + neurons * per_neuron


def prune(backbone: "PreTrainedModel", kept: Sequence[KeptLayer]) -> None:
    """Remove everything else, in place; may be called again, with numbers of what is there then."""
    layers, size = encoder_layers(backbone), head_size(backbone)
    for keep in kept:
        columns = (keep.heads[:, None] * size + np.arange(size)).reshape(-1)
        _slice(layers[keep.layer], torch.from_numpy(columns), torch.from_numpy(keep.neurons))
    backbone.encoder.layer = nn.ModuleList([layers[keep.layer] for keep in kept])
    backbone.config.num_hidden_layers = len(kept)
    shape = {"heads": [len(keep.heads) for keep in kept], "neurons": [len(keep.neurons) for keep in kept]}
    setattr(backbone.config, SHAPE, shape)


def shrink(backbone: "PreTrainedModel") -> None:
    """Give a backbone that was built by its architecture the matrices that its configuration says are left."""
    shape = getattr(backbone.config, SHAPE, None)
    if shape is None:
        return
    width, size = backbone.config.hidden_size, head_size(backbone)
    for layer, heads, neurons in zip(encoder_layers(backbone), shape["heads"], shape["neurons"], strict=True):
        for name in ("query", "key", "value"):
            setattr(layer.attention.self, name, nn.Linear(width, heads * size))
        layer.attention.output.dense = nn.Linear(heads * size, width)
        layer.intermediate.dense = nn.Linear(width, neurons)
        layer.output.dense = nn.Linear(neurons, width)


def _slice(layer: nn.Module, columns: torch.Tensor, neurons: torch.Tensor) -> None:
    attention = layer.attention.self
    for name in ("query", "key", "value"):
        setattr(attention, name, _outputs(getattr(attention, name), columns))
    layer.attention.output.dense = _inputs(layer.attention.output.dense, columns)
    layer.intermediate.dense = _outputs(layer.intermediate.dense, neurons)
    layer.output.dense = _inputs(layer.output.dense, neurons)


def _outputs(dense: nn.Linear, rows: torch.Tensor) -> nn.Linear:
    kept = nn.Linear(dense.in_features, len(rows))
    kept.weight.data, kept.bias.data = dense.weight.data[rows].clone(), dense.bias.data[rows].clone()
    return kept


def _inputs(dense: nn.Linear, columns: torch.Tensor) -> nn.Linear:
    kept = nn.Linear(len(columns), dense.out_features)
    kept.weight.data, kept.bias.data = dense.weight.data[:, columns].clone(), dense.bias.data.clone()
    return kept
