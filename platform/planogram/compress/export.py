"""A model as an OpenVINO graph: backbone, pooling, tower and heads, for texts of any number and length."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from planogram.data.collate import Batch

if TYPE_CHECKING:
    import openvino

#: names of the graph's inputs, in the order of `Batch`
INPUTS = Batch._fields


class Float32(nn.Module):
    """A float32 output, whatever the weights are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """Of the arrays of a `Batch`."""
        outputs: Tensor = self.model(*inputs)
        return outputs.float()


def to_openvino(model: nn.Module, columns: int) -> "openvino.Model":
    """Convert a model in evaluation mode; adapters must be merged.

    Args:
        model: float32, on the CPU.
        columns: of the features beside the text; 0: none.

    Returns:
        A graph from the arrays of a `Batch` to what the model gives, float32.
    """
    import openvino

    example = example_inputs(columns)
    with warnings.catch_warnings():
        # Branches on shapes are traced as they are for padded pairs, which is what engines send.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        graph = openvino.convert_model(Float32(model).eval(), example_input=example)
    for name, port in zip(INPUTS, graph.inputs, strict=False):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
    if columns:
        graph.reshape({"features": openvino.PartialShape([-1, columns])})
    return graph


def example_inputs(columns: int) -> tuple[Tensor, ...]:
    """Two pairs of different lengths, so that neither batch nor padding is taken for a constant."""
    ids = torch.ones(2, 12, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    types = torch.zeros_like(ids)
    types[:, 4:] = mask[:, 4:]
    features = (torch.from_numpy(np.zeros((2, columns), dtype=np.float32)),) if columns else ()
    return (ids, mask, types, *features)
