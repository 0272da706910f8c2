"""Parameter-efficient tuning: adapters in a backbone that is frozen, and possibly quantized.

lora     Hu et al. 2021                  by PEFT; merges
rslora   Kalajdzievski 2023              by PEFT; merges
dora     Liu et al. 2024                 by PEFT; merges
ia3      Liu et al. 2022                 by PEFT; merges
adalora  Zhang et al. 2023               adalora.py; merges
prefix   Li & Liang 2021                 prefix.py; cannot merge
houlsby  Houlsby et al. 2019             houlsby.py; cannot merge
head     the backbone is frozen, and only what stands on it learns

The backbone stays the same Hugging Face model with the same forward pass.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from planogram.config import AdapterConfig
from planogram.errors import ConfigError, IntegrityError
from planogram.models import adalora, houlsby, prefix
from planogram.models.linears import is_conv, is_quantized, linear_layers, parameter_counts, quantize

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BY_PEFT = ("lora", "rslora", "dora", "ia3")
CANNOT_MERGE = ("prefix", "houlsby")
# Parts of the names of adapters' tensors: PEFT's and ours.
PEFT_PREFIXES = ("lora_", "ia3_")
OWN_PARTS = ("adalora", "prefix", "houlsby")


def adapt(backbone: "PreTrainedModel", config: AdapterConfig) -> None:
    """Freeze the backbone and put trainable adapters into it, in place; `none` does nothing.

    Call it once, with the backbone on its device. At first, outputs are those of the base, but for `prefix`.

    Raises:
        ConfigError: bitsandbytes is missing, or the method does not know the architecture.
    """
    if config.method == "none":
        return
    if config.base != "fp32":
        quantize(backbone, config.base)
    backbone.requires_grad_(False)
    if config.method in BY_PEFT:
        _inject(backbone, config)
    elif config.method == "adalora":
        for name, layer in linear_layers(backbone):
            if _is_target(name, _targets(backbone, "ADALORA")):
                adalora.attach(layer, config.rank, config.alpha, config.dropout)
    elif config.method == "prefix":
        prefix.attach(backbone, config.prefix_tokens)
    elif config.method == "houlsby":
        houlsby.attach(backbone, config.bottleneck)


def check_stage(config: AdapterConfig, zero_stage: int) -> None:
    """Refuse what cannot train together.

    Raises:
        ConfigError: ZeRO 3 with AdaLoRA, whose importance needs whole weights, or with a quantized base.
    """
    if zero_stage < 3 or config.method == "none":
        return
    if config.method == "adalora" or config.base != "fp32":
        raise ConfigError(
            f"adapter.method={config.method} on base {config.base} with train.zero_stage=3",
            allowed="train.zero_stage 0 to 2",
            remedy="set train.zero_stage=2: with few weights to train, stage 3 saves little more",
        )


def trainable_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors: name -> float32 on the CPU; empty for `none` and `head`.

    AdaLoRA's masked values are 0 in it, so it needs no mask.
    """
    masks = {f"{name}.values": module.mask for name, module in backbone.named_modules() if _is_adalora(module)}
    return {
        name: (tensor.detach() * masks.get(name, 1)).float().cpu().contiguous().clone()
        for name, tensor in _adapter_parameters(backbone).items()
    }


@torch.no_grad()
def load_adapter(backbone: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `trainable_state` gave into a backbone adapted with the same configuration.

    Raises:
        IntegrityError: a tensor is missing, unknown, of another shape, or not finite. Nothing is loaded then.
    """
    parameters = _adapter_parameters(backbone)
    wrong = sorted(parameters.keys() ^ state.keys()) or [
        name
        for name, tensor in state.items()
        if tensor.shape != parameters[name].shape or not torch.isfinite(tensor).all()
    ]
    if wrong:
        raise IntegrityError(
            f"adapter does not fit the backbone: {', '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''}",
            allowed="the names and shapes that adapter configuration and architecture give, finite values",
            remedy="use the configuration that the adapter was trained with, or train anew",
        )
    for name, parameter in parameters.items():
        parameter.copy_(state[name])
    for update in adalora.adaloras(backbone):
        update.mask.fill_(1)


def mergeable(config: AdapterConfig) -> bool:
    """Whether the adapters can be folded into a float32 base."""
    return config.method not in CANNOT_MERGE


def merge(backbone: "PreTrainedModel", config: AdapterConfig) -> None:
    """Fold the adapters into the weights, in place: a plain backbone again, with plain names and the same outputs.

    Weights that were trained on a quantized base are merged into the float32 one: build the backbone anew, adapt it
    with base fp32, load the adapter, merge. Outputs then differ by the error of the quantization.

    Raises:
        ConfigError: the method cannot merge, or the base is quantized.
    """
    if not mergeable(config):
        raise ConfigError(
            f"adapter.method={config.method} cannot be merged",
            allowed="none, head, lora, rslora, dora, adalora, ia3",
            remedy="keep base and adapter apart, and adapt the base when it is loaded",
        )
    if is_quantized(backbone):
        raise ConfigError(
            f"adapters cannot be merged into a base in {config.base}",
            allowed="base fp32",
            remedy="load the float32 base, adapt it with adapter.base=fp32, load the adapter and merge that",
        )
    adalora.merge(backbone)
    if config.method in BY_PEFT:
        _merge_peft(backbone)
    backbone.requires_grad_(True)


def base_digest(backbone: nn.Module) -> str:
    """The sha256, 64 hexadecimal digits, of the base's weights in float32: an adapter fits this base alone.

    The same before and after `adapt` with base fp32, also where training has moved the adapters.

    Raises:
        ConfigError: the base is quantized already.
    """
    if is_quantized(backbone):
        raise ConfigError("a quantized base has no digest", remedy="take base_digest before adapt")
    digest = hashlib.sha256()
    plain = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in backbone.state_dict().items()
        if not _is_adapter(name)
    }
    for name, tensor in sorted(plain.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def trainable_share(model: nn.Module) -> float:
    """Trainable weights over all weights, 0 to 1."""
    trainable, total = parameter_counts(model)
    return trainable / max(1, total)


def _inject(backbone: "PreTrainedModel", config: AdapterConfig) -> None:
    from peft import inject_adapter_in_model

    flag = {"nf4": "is_loaded_in_4bit", "int8": "is_loaded_in_8bit"}.get(config.base)
    if flag:  # tells PEFT to look for bitsandbytes' layers
        setattr(backbone, flag, True)
    inject_adapter_in_model(_peft_config(backbone, config), backbone)
    if flag:
        delattr(backbone, flag)


def _peft_config(backbone: "PreTrainedModel", config: AdapterConfig) -> Any:
    from peft import IA3Config, LoraConfig

    transposed = any(is_conv(layer) for _, layer in linear_layers(backbone))
    if config.method == "ia3":
        known = _targets(backbone, "IA3") is not None
        return IA3Config(
            target_modules=None if known else "all-linear",
            feedforward_modules=None if known else [],
            fan_in_fan_out=transposed,
        )
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # a float is used as it is
        lora_dropout=config.dropout,
        target_modules=_targets(backbone, "LORA") or "all-linear",
        use_rslora=config.method == "rslora",
        use_dora=config.method == "dora",
        fan_in_fan_out=transposed,
    )


def _targets(backbone: "PreTrainedModel", method: str) -> list[str] | str | None:
    """The layers that PEFT adapts in this architecture: last parts of names, or a pattern; None where unknown."""
    from peft.utils import constants

    known = getattr(constants, f"TRANSFORMERS_MODELS_TO_{method}_TARGET_MODULES_MAPPING")
    return known.get(backbone.config.model_type)


def _is_target(name: str, targets: list[str] | str | None) -> bool:
    if targets is None:
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return f".{name}".endswith(tuple(f".{target}" for target in targets))


@torch.no_grad()
def _merge_peft(backbone: "PreTrainedModel") -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in [item for item in backbone.named_modules() if isinstance(item[1], BaseTunerLayer)]:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(backbone.get_submodule(parent), child, layer.get_base_layer())
    del backbone.peft_config


def _adapter_parameters(backbone: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in backbone.named_parameters() if _is_adapter(name)}


def _is_adapter(name: str) -> bool:
    return any(part.startswith(PEFT_PREFIXES) or part in OWN_PARTS for part in name.split("."))


def _is_adalora(module: nn.Module) -> bool:
    return isinstance(module, adalora.AdaLora)
