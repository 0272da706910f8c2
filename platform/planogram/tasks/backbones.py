"""The backbone of a fine-tuning run: brought into the run's folder, adapted, and written into the bundle."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from planogram import storage
from planogram.config import ClickConfig, DemandConfig, FinetuneConfig
from planogram.data.examples import Source, corpus
from planogram.data.features import FeatureSpec
from planogram.data.tokenizer import TOKENIZER_FILE
from planogram.errors import ConfigError
from planogram.models.adapters import adapt, base_digest, check_stage, load_adapter, merge, mergeable
from planogram.models.backbone import SCRATCH, build_backbone, load_backbone, read_architecture
from planogram.models.heads import BACKBONE
from planogram.registry.bundle import WEIGHTS, AdapterRef, BundleManifest
from planogram.registry.store import backbone_folder
from planogram.train.run import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Config = FinetuneConfig | DemandConfig
NO_FEATURES = FeatureSpec()


def prepare_backbone(config: Config, folder: Path) -> "tuple[PreTrainedModel, Tokenizer]":
    """Load or make the backbone and its tokenizer, and write both into a folder.

    Raises:
        ConfigError: an adapter on a backbone that knows nothing, or with a ZeRO stage that it does not know.
    """
    check_stage(config.adapter, config.train.zero_stage)
    if config.adapter.method != "none" and config.backbone.name == SCRATCH:
        raise ConfigError(
            f"adapter.method={config.adapter.method} on a scratch backbone",
            remedy="pretrain a backbone first: an adapter changes little of what its base knows",
        )
    backbone = config.backbone.model_copy(update={"name": backbone_folder(config.backbone.name)})
    model, tokenizer = load_backbone(backbone, _texts(config), config.text.max_tokens)
    model.config.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    return model, tokenizer


def _texts(config: Config) -> Iterator[str]:
    """The corpus, read when the first text is asked for: most backbones need none."""
    yield from corpus(source(config, "train"))


def source(config: Config, part: str) -> Source:
    """Where the examples of a part come from."""
    clicks = config.clicks if isinstance(config, FinetuneConfig) else ClickConfig()
    return Source(config.shop, config.text, config.split, clicks, config.tower, part)


def pad_id(folder: Path) -> int:
    """Id of the padding token of a backbone."""
    return int(storage.read_json(str(folder / "config.json")).get("pad_token_id") or 0)


def initial_backbone(folder: Path) -> "PreTrainedModel":
    """The backbone that `prepare_backbone` wrote."""
    backbone = build_backbone(read_architecture(folder))
    backbone.load_state_dict(load_file(folder / WEIGHTS))
    return backbone


def training_backbone(config: Config, folder: Path) -> "PreTrainedModel":
    """The backbone that `prepare_backbone` wrote, with its adapters, and with what is frozen."""
    backbone = initial_backbone(folder)
    if config.backbone.freeze_embeddings:
        backbone.get_input_embeddings().requires_grad_(False)
    adapt(backbone, config.adapter)
    return backbone


def keeps_adapter(config: Config) -> bool:
    """Whether the bundle holds the adapter beside the name of its base."""
    return config.adapter.method != "none" and not (config.adapter.merge and mergeable(config.adapter))


def adapter_ref(config: Config, initial: Path) -> AdapterRef | None:
    """What the bundle says of its adapter; None where its weights are whole."""
    if not keeps_adapter(config):
        return None
    return AdapterRef(
        config=config.adapter, base=config.backbone.name, base_digest=base_digest(initial_backbone(initial))
    )


def manifest_of(config: Config, trained: Trained, features: FeatureSpec = NO_FEATURES, **own: Any) -> BundleManifest:
    """The manifest of what was trained on a backbone.

    Args:
        config: of the run.
        trained: what came of it.
        features: that the tower takes.
        own: fields of this kind of bundle.
    """
    return BundleManifest(
        name=config.name,
        backbone=config.backbone.name,
        pooling=config.backbone.pooling,
        text_fields=config.text.fields,
        text_language=config.text.language,
        max_tokens=config.text.max_tokens,
        pad_id=pad_id(trained.initial),
        features=features,
        tower_size=config.tower.hidden_size if features.width else 0,
        tower_crosses=config.tower.crosses if features.width else 0,
        adapter=adapter_ref(config, trained.initial),
        lineage=trained.lineage,
        **own,
    )


def bundle_weights(config: Config, trained: Trained) -> dict[str, Tensor]:
    """Whole weights, or those of an adapter and its heads."""
    if keeps_adapter(config):
        return trained.weights
    if config.adapter.method == "none":
        frozen = {f"{BACKBONE}{name}": tensor for name, tensor in load_file(trained.initial / WEIGHTS).items()}
        return frozen | trained.weights
    backbone = initial_backbone(trained.initial)
    adapt(backbone, config.adapter.model_copy(update={"base": "fp32"}))
    own = {name: tensor for name, tensor in trained.weights.items() if name.startswith(BACKBONE)}
    load_adapter(backbone, {name.removeprefix(BACKBONE): tensor for name, tensor in own.items()})
    merge(backbone, config.adapter.model_copy(update={"base": "fp32"}))
    merged = {f"{BACKBONE}{name}": tensor.detach().contiguous() for name, tensor in backbone.named_parameters()}
    return merged | {name: tensor for name, tensor in trained.weights.items() if name not in own}


def copy_backbone_files(initial: Path, folder: Path) -> None:
    """Architecture and tokenizer."""
    for name in ("config.json", TOKENIZER_FILE):
        shutil.copy(initial / name, folder / name)
