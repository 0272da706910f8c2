"""What a sequence model is given of its items before it trains: vectors of their texts, and counts of transitions."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from planogram.config import NextItemConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.examples.sequences import count_transitions, load_sequences
from planogram.data.shop import read_table
from planogram.data.tokenizer import PairTokenizer
from planogram.models.backbone import load_backbone
from planogram.models.sequence import ItemTables
from planogram.registry.store import backbone_folder

# Padded tokens in one pass of the backbone, and rows in one of the cosines.
TOKENS_PER_PASS = 4096
ROWS_PER_PASS = 4096


def item_tables(config: NextItemConfig, items: list[str]) -> ItemTables:
    """The tables of a catalogue, from the parts of the shop that train.

    Args:
        config: of the run.
        items: product ids, in the order of their numbers.
    """
    text = _text_vectors(config, items) if reads_text(config) else torch.zeros(len(items), 0)
    counts = _counts(config, items, text)
    return ItemTables(
        num_items=len(items),
        text=text if config.sequence.use_text else torch.zeros(len(items), 0),
        starts=torch.from_numpy(counts.indptr.astype(np.int64)),
        after=torch.from_numpy(counts.indices.astype(np.int64)),
        counts=torch.from_numpy(counts.data.astype(np.float32)),
    )


def reads_text(config: NextItemConfig) -> bool:
    """Whether texts of products are needed."""
    return config.sequence.use_text or bool(config.transitions.window and config.transitions.text_neighbours)


def _counts(config: NextItemConfig, items: list[str], text: Tensor) -> Any:
    """Sparse (items before, items after) float32; empty without a window."""
    from scipy.sparse import csr_array

    if not config.transitions.window:
        return csr_array((len(items), len(items)), dtype=np.float32)
    numbers = {item: number for number, item in enumerate(items)}
    training = load_sequences(config.shop, config.split, config.parts, numbers)
    counts = count_transitions(training, len(items), config.transitions)
    if config.transitions.text_neighbours:
        counts = counts + config.transitions.text_weight * text_neighbours(text, config.transitions.text_neighbours)
    return counts


@torch.inference_mode()
def _text_vectors(config: NextItemConfig, items: list[str]) -> Tensor:
    """(items, width) unit vectors: means of token states, less what all products share."""
    backbone = config.backbone.model_copy(update={"name": backbone_folder(config.backbone.name)})
    fields = config.text.fields
    products = read_table(config.shop, "products", text_columns(fields))
    texts = product_texts(products, fields, config.text.language)
    model, tokenizer = load_backbone(backbone, texts.values(), config.text.max_tokens)
    tokens = PairTokenizer(tokenizer, config.text.max_tokens).encode([(texts[item], "") for item in items])
    vectors = torch.zeros(len(items), model.config.hidden_size)
    for rows in token_batches(tokens.lengths, TOKENS_PER_PASS):
        batch = collate(tokens.take(rows))
        mask = torch.from_numpy(batch.attention_mask)
        states = model.eval()(input_ids=torch.from_numpy(batch.input_ids), attention_mask=mask).last_hidden_state
        vectors[rows] = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return functional.normalize(vectors - vectors.mean(dim=0), dim=1)


def text_neighbours(vectors: Tensor, neighbours: int) -> Any:
    """Sparse (items, items): the cube of the cosine of each item's nearest others, 0 where it is negative."""
    from scipy.sparse import csr_array

    count = len(vectors)
    nearest = min(neighbours, count - 1)
    found = []
    for start in range(0, count, ROWS_PER_PASS):
        cosines = vectors[start : start + ROWS_PER_PASS] @ vectors.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -1.0
        found.append(cosines.topk(nearest, dim=1))
    values = torch.cat([best.values for best in found]).clamp(min=0) ** 3
    columns = torch.cat([best.indices for best in found])
    starts = nearest * np.arange(count + 1)
    return csr_array((values.numpy().ravel(), columns.numpy().ravel(), starts), shape=(count, count))
