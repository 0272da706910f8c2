"""Post-training quantization of an OpenVINO graph to int8, calibrated on the shop's own text."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planogram.config import QuantizeConfig
from planogram.data.collate import Batch, collate
from planogram.data.tokenizer import Tokens

if TYPE_CHECKING:
    import openvino


def sample(total: int, count: int, seed: int = 0) -> npt.NDArray[np.intp]:
    """Rising positions of `count` examples, or of all where there are fewer."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def single_batches(tokens: Tokens, pad_id: int) -> list[Batch]:
    """A batch for each pair: padding has activations too, but no say in their ranges."""
    return [collate(tokens.take([position]), pad_id) for position in range(len(tokens))]


def to_int8(graph: "openvino.Model", batches: Sequence[Batch], config: QuantizeConfig) -> "openvino.Model":
    """Quantize weights and activations of all matrix products.

    Args:
        graph: float32; it is left as it is.
        batches: what the ranges of activations are taken from.
        config: how.

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
        advanced_parameters=AdvancedQuantizationParameters(
            # Without VNNI, the 16-bit sums of two products overflow unless weights keep one bit free.
            overflow_fix=OverflowFix.DISABLE if config.full_range else OverflowFix.ENABLE,
            smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=config.smooth_quant),
        ),
    )
