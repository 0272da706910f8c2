"""Token lists into padded arrays, and pairs into batches by token budget."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from planogram.data.tokenizer import Tokens


class Batch(NamedTuple):
    """Padded arrays, each (batch, tokens) int64, and (batch, columns) float32 features where the model takes them."""

    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32] | None = None


def collate(tokens: Tokens, pad_id: int = 0) -> Batch:
    """Pad pairs on the right to the longest of them.

    Args:
        tokens: at least one pair.
        pad_id: id of the padding token.
    """
    lengths = np.asarray(tokens.lengths)
    shape = (len(lengths), int(lengths.max()))
    mask = np.arange(shape[1]) < lengths[:, None]
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    input_ids[mask] = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in tokens.input_ids])
    token_type_ids[mask] = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in tokens.token_type_ids])
    return Batch(input_ids, mask.astype(np.int64), token_type_ids, tokens.features)


def lengthened(batch: Batch, length: int, pad_id: int = 0) -> Batch:
    """The same pairs with more padding on the right.

    Args:
        batch: of at most `length` tokens.
        length: tokens of every row.
        pad_id: id of the padding token.
    """
    width = ((0, 0), (0, length - batch.input_ids.shape[1]))
    ids, mask, types = (np.pad(array, width) for array in batch[:3])
    return Batch(np.where(mask == 1, ids, pad_id), mask, types, batch.features)


def token_batches(lengths: Sequence[int], budget: int) -> list[npt.NDArray[np.int64]]:
    """Group positions so that each group, padded to its longest, has at most `budget` tokens.

    Positions are sorted by length first, so that little is padding. A single item beyond the budget stands alone.

    Args:
        lengths: tokens per item.
        budget: padded tokens in one group.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    groups: list[npt.NDArray[np.int64]] = []
    start = 0
    for end in range(1, len(order) + 1):
        # Sorted by length: the group's longest is its last.
        if end == len(order) or lengths[order[end]] * (end + 1 - start) > budget:
            groups.append(order[start:end])
            start = end
    return groups
