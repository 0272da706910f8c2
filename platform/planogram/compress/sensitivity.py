"""What int8 costs a graph: how much smoothing costs least, and which layers lose most."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planogram.compress.quantize import to_int8
from planogram.config import QuantizeConfig
from planogram.data.collate import Batch

if TYPE_CHECKING:
    import openvino


def least_smoothing_error(
    graph: "openvino.Model", batches: Sequence[Batch], config: QuantizeConfig
) -> tuple[float, dict[float, float]]:
    """The smoothing by which the outputs move least.

    Args:
        graph: float32.
        batches: what ranges are taken from, and whose outputs are compared.
        config: of the quantization, with the smoothings to try.

    Returns:
        The best, and smoothing -> mean squared change of the outputs; empty where there is no choice.
    """
    if len(config.smooth_quant) == 1:
        return config.smooth_quant[0], {}
    wanted = outputs(graph, batches)
    found = {}
    for smoothing in config.smooth_quant:
        small = to_int8(graph, batches, smoothing, full_range=config.full_range)
        found[smoothing] = float(np.square(outputs(small, batches) - wanted).mean())
    return min(found, key=found.__getitem__), found


def layer_errors(
    graph: "openvino.Model", batches: Sequence[Batch], smoothing: float, layers: int, *, full_range: bool = False
) -> dict[int, float]:
    """How far the outputs move when one layer alone is quantized.

    Args:
        graph: float32.
        batches: what ranges are taken from, and whose outputs are compared.
        smoothing: as in `to_int8`.
        layers: of the encoder.
        full_range: as in `to_int8`.

    Returns:
        Layer -> mean squared change of the outputs.
    """
    wanted = outputs(graph, batches)
    found = {}
    for layer in range(layers):
        others = [other for other in range(layers) if other != layer]
        small = to_int8(graph, batches, smoothing, full_range=full_range, float_layers=others, float_rest=True)
        found[layer] = float(np.square(outputs(small, batches) - wanted).mean())
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
