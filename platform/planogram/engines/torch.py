"""The torch engine: the bundle as it was trained, in float32 or bfloat16."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from planogram.config import BackboneConfig
from planogram.data.collate import collate
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.base import Floats, PairEngine
from planogram.errors import ConfigError, IntegrityError
from planogram.models.adapters import adapt, base_digest, load_adapter, merge, mergeable
from planogram.models.backbone import build_backbone, load_backbone, read_architecture
from planogram.models.heads import BACKBONE, CrossEncoder
from planogram.models.linears import quantize
from planogram.models.tower import Tower
from planogram.registry.bundle import WEIGHTS, AdapterRef, BundleManifest, open_bundle
from planogram.registry.store import backbone_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Precision = Literal["fp32", "bf16", "int8", "nf4"]
DTYPES = {"bf16": torch.bfloat16}


class TorchEngine(PairEngine):
    """Runs a bundle with torch.

    Args:
        uri: the bundle.
        device: `cpu`, `cuda`, …; by default a GPU where there is one.
        precision: of the weights and the forward pass; the activation is always float32. `int8` and `nf4` are those
            of bitsandbytes, and of the backbone alone.
        merged: fold an adapter into the weights, where its method can be.

    Raises:
        IntegrityError: the bundle does not verify, or its weights do not fit its architecture or are not finite.
        ConfigError: it is no cross-encoder.
    """

    def __init__(
        self, uri: str, device: str | None = None, precision: Precision = "fp32", *, merged: bool = False
    ) -> None:
        folder, self.manifest = open_bundle(uri)
        if self.manifest.kind != "cross-encoder":
            raise ConfigError(
                f"{uri} is a {self.manifest.kind}", allowed="a cross-encoder", remedy="choose another bundle"
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = load_model(folder, self.manifest, merged=merged).to(self.device, DTYPES.get(precision, torch.float32))
        if precision in ("int8", "nf4"):
            quantize(model.backbone, precision)
        self.model = model.eval()
        self.tokenizer = PairTokenizer.from_folder(folder, self.manifest.max_tokens)

    @torch.inference_mode()
    def infer(self, tokens: Tokens) -> Floats:
        """Logits (pairs, heads) float32."""
        batch = collate(tokens, self.manifest.pad_id)
        logits = self.model(*(None if array is None else torch.from_numpy(array).to(self.device) for array in batch))
        return logits.float().cpu().numpy()


def load_model(folder: Path, manifest: BundleManifest, *, merged: bool = False) -> CrossEncoder:
    """Build the bundle's model and load its weights; an adapter is put on its base, or merged where it can be.

    Raises:
        NotFoundError: the base of an adapter is not there.
        IntegrityError: weights and architecture do not fit, the base is another one, or a weight is not finite.
    """
    weights = read_weights(folder)
    backbone = load_backbone_of(folder, manifest, weights, merged=merged)
    width = manifest.features.width
    tower = Tower(width, manifest.tower_size, crosses=manifest.tower_crosses) if width else None
    model = CrossEncoder(backbone, [head.name for head in manifest.heads], manifest.pooling, 0.0, tower)
    _load(folder, model, {name: tensor for name, tensor in weights.items() if not name.startswith(BACKBONE)})
    return model


def load_backbone_of(
    folder: Path, manifest: BundleManifest, weights: dict[str, torch.Tensor], *, merged: bool = False
) -> "PreTrainedModel":
    """The backbone of a bundle with its weights.

    Raises:
        NotFoundError: the base of an adapter is not there.
        IntegrityError: weights and architecture do not fit, or the base is another one.
    """
    own = {name.removeprefix(BACKBONE): tensor for name, tensor in weights.items() if name.startswith(BACKBONE)}
    if manifest.adapter:
        return _adapted(manifest, manifest.adapter, own, merged=merged and mergeable(manifest.adapter.config))
    backbone = build_backbone(read_architecture(folder))
    _load(folder, backbone, own)
    return backbone


def _load(folder: Path, model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights by name; the backbone of a larger model has its own already."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items() if not name.startswith(BACKBONE)}
    wrong = [name for name in shapes if name not in weights]
    wrong += [name for name, tensor in weights.items() if shapes.get(name) != tensor.shape]
    if wrong:
        raise IntegrityError(
            f"{folder / WEIGHTS}: weights and architecture do not fit at {', '.join(wrong[:3])}",
            remedy="publish the bundle anew",
        )
    model.load_state_dict(weights, strict=False)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The bundle's tensors.

    Raises:
        IntegrityError: the file is none of safetensors, or a weight is not finite.
    """
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise IntegrityError(f"{folder / WEIGHTS}: {error}", remedy="publish the bundle anew") from error
    for name, tensor in weights.items():
        if not np.isfinite(tensor.float().sum().item()):
            raise IntegrityError(f"{folder / WEIGHTS}: {name} is not finite", remedy="train anew: the run diverged")
    return weights


def _adapted(
    manifest: BundleManifest, reference: AdapterRef, state: dict[str, torch.Tensor], *, merged: bool
) -> "PreTrainedModel":
    """The adapter's base with the adapter in it; merged, the base is the float32 one."""
    config = BackboneConfig(name=backbone_folder(reference.base), dropout=0.0)
    backbone, _ = load_backbone(config, (), manifest.max_tokens)
    if base_digest(backbone) != reference.base_digest:
        raise IntegrityError(
            f"{reference.base} is not the base that the adapter of {manifest.name} was trained on",
            remedy="bring that base back, or train the adapter anew",
        )
    adapter = reference.config.model_copy(update={"base": "fp32"}) if merged else reference.config
    adapt(backbone, adapter)
    load_adapter(backbone, state)
    if merged:
        merge(backbone, adapter)
    return backbone
