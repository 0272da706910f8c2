"""Post-training quantization of an OpenVINO graph to int8, calibrated on the shop's own text."""

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planogram.data.collate import Batch, collate
from planogram.data.tokenizer import Tokens
from planogram.errors import ConfigError

if TYPE_CHECKING:
    import nncf
    import openvino

LAYER = re.compile(r"\.encoder\.layer\.(\d+)[./]")
# A few multiplications at the end, whose errors nothing evens out.
OUTSIDE = re.compile(r"^self\.model\.(tower|heads)\.")


def sample(total: int, count: int, seed: int = 0) -> npt.NDArray[np.intp]:
    """Rising positions of `count` examples, or of all where there are fewer."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def single_batches(tokens: Tokens, pad_id: int) -> list[Batch]:
    """A batch for each pair: padding has activations too, but no say in their ranges."""
    return [collate(tokens.take([position]), pad_id) for position in range(len(tokens))]


def to_int8(
    graph: "openvino.Model",
    batches: Sequence[Batch],
    smoothing: float,
    *,
    full_range: bool = False,
    float_layers: Sequence[int] = (),
    float_rest: bool = False,
) -> "openvino.Model":
    """Quantize weights and activations of the backbone's matrix products; tower and heads stay as they are.

    Args:
        graph: float32; it is left as it is.
        batches: what the ranges of activations are taken from.
        smoothing: how much of the outliers of activations moves into weights, 0..1.
        full_range: whether weights use all of their eight bits.
        float_layers: encoder layers that stay as they are.
        float_rest: whether all that is in no encoder layer stays as well.

    Source: Xiao et al. 2023 (SmoothQuant: outliers of activations move into the weights); NNCF.
    """
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
    )

    logging.getLogger("nncf").setLevel(logging.WARNING)
    rows = [[array for array in batch if array is not None] for batch in batches]
    return nncf.quantize(
        graph,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        fast_bias_correction=True,
        ignored_scope=_ignored(graph, float_layers, float_rest=float_rest),
        advanced_parameters=AdvancedQuantizationParameters(
            # Without VNNI, the 16-bit sums of two products overflow unless weights keep one bit free.
            overflow_fix=OverflowFix.DISABLE if full_range else OverflowFix.ENABLE,
            smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=smoothing),
        ),
    )


def _ignored(graph: "openvino.Model", layers: Sequence[int], *, float_rest: bool) -> "nncf.IgnoredScope":
    """By the names that nodes have from their modules."""
    import nncf

    nodes = graph.get_ordered_ops()
    names = [node.get_friendly_name() for node in nodes]
    inside = {name: int(found[1]) for name in names if (found := LAYER.search(name))}
    if layers and not inside:
        raise ConfigError(
            "the graph has no layers of BERT's kind, so none can stay in float",
            allowed="quantize.float_layers=0",
            remedy="set it to 0",
        )
    outside = {node.get_friendly_name() for node in nodes if _multiplies_outside(node)}
    chosen = [name for name in names if (inside[name] in layers if name in inside else float_rest or name in outside)]
    return nncf.IgnoredScope(names=chosen, validate=False)


def _multiplies_outside(node: "openvino.Node") -> bool:
    """Whether a node multiplies with weights of the tower or of the heads; its own name may be that of a cast."""
    if node.get_type_name() != "MatMul":
        return False
    sources = [value.get_node().get_friendly_name() for value in node.input_values()]
    return any(OUTSIDE.match(name) for name in sources)
