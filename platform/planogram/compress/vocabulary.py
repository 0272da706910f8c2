"""A vocabulary of the shop's own tokens: what its texts never use costs memory and nothing else."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn

from planogram.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONTINUES = "##"
ENCODED_AT_ONCE = 4096
Ids = npt.NDArray[np.int64]


def used_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> Ids:
    """Rising ids of what the texts use, of special tokens, and of single characters, from which all else is spelt."""
    kept = {number for token, number in tokenizer.get_vocab().items() if len(token.removeprefix(CONTINUES)) <= 1}
    kept |= set(tokenizer.get_added_tokens_decoder())
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == ENCODED_AT_ONCE:
            kept.update(*(encoding.ids for encoding in plain.encode_batch(batch)))
            batch = []
    kept.update(*(encoding.ids for encoding in plain.encode_batch(batch)))
    return np.asarray(sorted(kept), dtype=np.int64)


def trim_tokenizer(tokenizer: Tokenizer, kept: Ids) -> Tokenizer:
    """The tokenizer with these tokens alone, numbered anew in the same order.

    Raises:
        ConfigError: its model is neither WordPiece nor Unigram, whose tokens can be removed one by one.
    """
    state = json.loads(tokenizer.to_str())
    numbers = {int(old): new for new, old in enumerate(kept)}
    model = state["model"]
    if model["type"] == "WordPiece":
        model["vocab"] = {token: numbers[number] for token, number in model["vocab"].items() if number in numbers}
    elif model["type"] == "Unigram":
        model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in numbers]
        model["unk_id"] = numbers[model["unk_id"]]
    else:
        raise ConfigError(
            f"a {model['type']} vocabulary cannot be trimmed",
            allowed="WordPiece (BERT) or Unigram (XLM-RoBERTa)",
            remedy="set vocabulary=whole",
        )
    for token in state["added_tokens"]:
        token["id"] = numbers[token["id"]]
    if state.get("padding"):
        state["padding"]["pad_id"] = numbers[state["padding"]["pad_id"]]
    _renumber(state.get("post_processor"), numbers)
    return Tokenizer.from_str(json.dumps(state))


def _renumber(processor: dict[str, Any] | None, numbers: dict[int, int]) -> None:
    """The ids in a template, in place."""
    if processor is None:
        return
    for nested in processor.get("processors", ()):
        _renumber(nested, numbers)
    for entry in (processor.get("special_tokens") or {}).values():
        entry["ids"] = [numbers[number] for number in entry["ids"]]
    for name in ("cls", "sep"):
        if name in processor:
            processor[name] = [processor[name][0], numbers[processor[name][1]]]


def trim_embeddings(backbone: "PreTrainedModel", kept: Ids) -> None:
    """Keep the vectors of these tokens alone, in place, and say so in the architecture."""
    embeddings = backbone.get_input_embeddings()
    numbers = {int(old): new for new, old in enumerate(kept)}
    padding = embeddings.padding_idx
    small = nn.Embedding(len(kept), embeddings.embedding_dim, numbers.get(padding) if padding is not None else None)
    small.weight.data = embeddings.weight.data[torch.from_numpy(kept)].clone()
    backbone.set_input_embeddings(small)
    backbone.config.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
        if (number := getattr(backbone.config, name, None)) is not None:
            setattr(backbone.config, name, numbers.get(number))
