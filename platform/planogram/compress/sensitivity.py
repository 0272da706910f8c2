"""Which layers of a graph lose most by int8, and a quantization that leaves them in float."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planogram.compress.quantize import to_int8
from planogram.config import QuantizeConfig
from planogram.data.collate import Batch

if TYPE_CHECKING:
    import openvino

# Pairs on which outputs are compared: enough to order layers.
COMPARED = 64


def layer_errors(
    graph: "openvino.Model", batches: Sequence[Batch], config: QuantizeConfig, layers: int
) -> dict[int, float]:
    """How far the outputs move when one layer alone is quantized.

    Args:
        graph: float32.
        batches: what ranges are taken from, and whose outputs are compared.
        config: of the quantization.
        layers: of the encoder.

    Returns:
        Layer -> mean squared change of the outputs.
    """
    compared = batches[:COMPARED]
    wanted = outputs(graph, compared)
    found = {}
    for layer in range(layers):
        others = [other for other in range(layers) if other != layer]
        small = to_int8(graph, batches, config, float_layers=others, float_rest=True)
        found[layer] = float(np.square(outputs(small, compared) - wanted).mean())
    return found


def most_sensitive(errors: dict[int, float], count: int) -> list[int]:
    """The layers that lose most, rising."""
    return sorted(sorted(errors, key=lambda layer: -errors[layer])[:count])


def outputs(graph: "openvino.Model", batches: Sequence[Batch]) -> npt.NDArray[np.float32]:
    """What a graph gives for each batch, one after the other."""
    import openvino

    request = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    rows = [[array for array in batch if array is not None] for batch in batches]
    return np.concatenate([np.array(request.infer(row)[0]) for row in rows])
