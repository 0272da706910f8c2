"""The linear layers of a backbone: found, measured, quantized. GPT-2 calls its own Conv1D, with a transposed weight."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from planogram.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantization = Literal["nf4", "int8"]
# Weights that share a scale in nf4.
BLOCK = 64


def linear_layers(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every linear layer with its name, in the model's order; quantized ones are among them."""
    return [
        (name, module) for name, module in backbone.named_modules() if isinstance(module, nn.Linear) or is_conv(module)
    ]


def is_conv(layer: nn.Module) -> bool:
    """Whether the weight stands as (inputs, outputs), as in GPT-2."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D)


def features(layer: nn.Module) -> tuple[int, int]:
    """Widths (inputs, outputs) of a linear layer."""
    return tuple(layer.weight.shape) if is_conv(layer) else (layer.in_features, layer.out_features)


def is_quantized(backbone: nn.Module) -> bool:
    """Whether a weight is one of bitsandbytes."""
    return any(_is_packed(parameter) for parameter in backbone.parameters())


def count_weights(parameter: nn.Parameter) -> int:
    """Number of weights that a parameter stands for; nf4 packs two into a byte."""
    state = getattr(parameter, "quant_state", None)
    return int(torch.Size(state.shape).numel()) if state is not None else int(parameter.numel())


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """How many weights of a model train, and how many it has."""
    counts = [(count_weights(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(count for count, trains in counts if trains), sum(count for count, _ in counts)


def quantize(backbone: "PreTrainedModel", base: Quantization) -> None:
    """Replace the linear layers, in place, by frozen ones of bitsandbytes on the same device.

    `nf4` is QLoRA's (Dettmers et al. 2023) with double quantization; it computes in bfloat16 on a GPU and in float32
    on a CPU, so move the backbone to its device first. A layer whose inputs are no multiple of 64 stays in float32.
    `int8` is LLM.int8() (Dettmers et al. 2022). Quantized weights are in no `state_dict`: they come from the base anew.

    Raises:
        ConfigError: bitsandbytes is not installed, or no layer can be quantized.
    """
    try:
        import bitsandbytes
    except ImportError as error:
        raise ConfigError(
            f"{base} weights need bitsandbytes",
            allowed="fp32 without it",
            remedy="pip install -c constraints.txt 'planogram[gpu]', or choose fp32",
        ) from error
    make: Callable[..., Any] = _nf4 if base == "nf4" else _int8
    # It warns in every forward pass that int8 products pass through float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    # The nf4 kernel for CPUs (bitsandbytes 0.50) takes the wrong scale where a block goes over the end of a row.
    layers = [item for item in linear_layers(backbone) if base == "int8" or features(item[1])[0] % BLOCK == 0]
    if not layers:
        raise ConfigError(
            "nf4 weights need layers whose width is a multiple of 64",
            remedy="choose int8 or fp32, or another backbone",
        )
    for name, layer in layers:
        parent, _, child = name.rpartition(".")
        setattr(backbone.get_submodule(parent), child, _filled(make(bitsandbytes.nn, layer), layer))


def _nf4(library: Any, layer: nn.Module) -> nn.Module:
    compute = torch.bfloat16 if layer.weight.device.type == "cuda" else torch.float32
    quantized = library.Linear4bit(
        *features(layer), bias=layer.bias is not None, compute_dtype=compute, compress_statistics=True, quant_type="nf4"
    )
    # Its own layout for evaluation on a CPU computes in bfloat16, and training cannot read it.
    quantized.support_avx512bf16_for_cpu = False
    return quantized


def _int8(library: Any, layer: nn.Module) -> nn.Module:
    quantized = library.Linear8bitLt(*features(layer), bias=layer.bias is not None, has_fp16_weights=False)
    quantized.register_forward_pre_hook(_keep_scale)
    return quantized


def _keep_scale(layer: Any, _: tuple[Any, ...]) -> None:
    """Put the scale back into a weight that PEFT's DoRA has rebuilt without it, as it does on a CPU."""
    if layer.weight.CB is not None and layer.weight.SCB is None:
        layer.weight.SCB = layer.state.SCB


def _filled(quantized: Any, layer: nn.Module) -> nn.Module:
    weight = layer.weight.detach()
    # A view of a transposed weight would be packed in the wrong order.
    quantized.weight.data = (weight.T if is_conv(layer) else weight).float().contiguous().clone()
    if layer.bias is not None:
        quantized.bias.data = layer.bias.detach().clone()
    quantized.register_state_dict_post_hook(_leave_out)
    return quantized.to(layer.weight.device).requires_grad_(False).train(layer.training)  # quantizes


def _leave_out(_: nn.Module, state: dict[str, Any], prefix: str, __: dict[str, Any]) -> None:
    """Keep packed weights and their scales out of a state: int8 layers that have run refuse to load them."""
    own = tuple(f"{prefix}{name}" for name in ("weight", "bias", "SCB"))
    for name in [name for name in state if name.startswith(own)]:
        del state[name]


def _is_packed(parameter: nn.Parameter) -> bool:
    return type(parameter).__name__ in ("Params4bit", "Int8Params")
