"""A bundle as other servers read it: a plain Hugging Face model for sequence classification, and its ONNX exports.

Its backbone has the bundle's weights. Pooling and tower of a bundle are no part of that format: BERT's own pooler and a
head of one output stand in their place, with random weights. So peers compute about as much, and their scores mean
nothing.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from planogram.benchmark.peer import export_onnx, quantize_onnx
from planogram.benchmark.peers.environments import PeerError
from planogram.engines.torch import load_backbone_of, read_weights
from planogram.models.heads import BACKBONE, seed_everything
from planogram.models.pruning import SHAPE
from planogram.registry.bundle import open_bundle

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ONNX, ONNX_INT8 = "model.onnx", "model_quantized.onnx"
#: what the format says of special tokens -> how tokenizers of the BERT family call them
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


class _Logits(nn.Module):
    """The model with tensors in and out, as an export wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits
        return logits


def export_plain(bundle: str, target: Path, onnx: str | None = None) -> None:
    """Write the folder of a model that peers load.

    Args:
        bundle: of a cross-encoder.
        target: new folder.
        onnx: `ONNX` or `ONNX_INT8`: the export beside the weights; absent: none.

    Raises:
        PeerError: the architecture has no such form, or its tokenizer no such tokens.
    """
    folder, manifest = open_bundle(bundle)
    model = _plain(folder, bundle)
    model.save_pretrained(target)
    _write_tokenizer(folder, target, manifest.max_tokens)
    # A later version wrote the file than the one that reads it: what only the writer knows is left out.
    config = json.loads((target / "config.json").read_text())
    config.pop("transformers_version", None)
    (target / "config.json").write_text(json.dumps(config, indent=2))
    if onnx:
        plain = target / "onnx" / ONNX
        plain.parent.mkdir()
        export_onnx(_Logits(model), 0, plain)
        if onnx == ONNX_INT8:
            quantize_onnx(plain, plain.with_name(ONNX_INT8))
            plain.unlink()


def _plain(folder: Path, bundle: str) -> "PreTrainedModel":
    from transformers import AutoModelForSequenceClassification

    _, manifest = open_bundle(bundle)
    weights = {name: tensor for name, tensor in read_weights(folder).items() if name.startswith(BACKBONE)}
    backbone = load_backbone_of(folder, manifest, weights, merged=True)
    config = backbone.config
    if hasattr(config, SHAPE) or getattr(config, "type_vocab_size", 0) < 2:
        raise PeerError(
            f"{bundle} has no plain form that peers load",
            allowed="an encoder of the BERT family with types of tokens, not pruned",
            remedy="choose another bundle, or leave `peers` empty",
        )
    config.num_labels = 1
    seed_everything(0)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    getattr(model, model.base_model_prefix).load_state_dict(backbone.state_dict(), strict=False)
    return model.eval()


def _write_tokenizer(folder: Path, target: Path, max_tokens: int) -> None:
    content = (folder / "tokenizer.json").read_bytes()
    known = {token["content"] for token in json.loads(content)["added_tokens"]}
    if missing := sorted(set(SPECIAL.values()) - known):
        raise PeerError(f"the tokenizer lacks {', '.join(missing)}", allowed="one of the BERT family")
    (target / "tokenizer.json").write_bytes(content)
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens, **SPECIAL}
    (target / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
