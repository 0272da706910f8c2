"""What comes next in a sequence of items: self-attention over item vectors, beside counts of transitions.

Source: Kang & McAuley 2018, Self-Attentive Sequential Recommendation (SASRec). The loss is the cross-entropy over the
catalogue: Klenitskiy & Vasilev 2023, Turning Dross Into Gold Loss.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.config import SequenceConfig

NO_TARGET = -1
# What an item that never came after another counts.
UNSEEN = 0.1


@dataclass(frozen=True)
class ItemTables:
    """What is known of items and does not train.

    Attributes:
        num_items: size of the catalogue; its number stands for no item.
        text: (items, width) float32 unit vectors; width 0 where texts are not used.
        starts: (items + 1,) int64, where the transitions of each item begin.
        after: (transitions,) int64, the items that came after.
        counts: (transitions,) float32.
    """

    num_items: int
    text: Tensor
    starts: Tensor
    after: Tensor
    counts: Tensor

    def to_tensors(self) -> dict[str, Tensor]:
        """The tables by name, for a file."""
        return {"text": self.text, "starts": self.starts, "after": self.after, "counts": self.counts}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "ItemTables":
        """The tables of a file."""
        return cls(num_items=len(tensors["text"]), **tensors)


class SequenceModel(nn.Module):
    """Scores every item of the catalogue as the next one.

    A product's vector is a learned one plus a projection of its text's; both ends of the model use the same vectors.
    Positions are counted from the end, so that the newest item always has the same one.

    Args:
        config: sizes.
        tables: of the items.
        history_decay: what each older item of a history counts in `transition_counts`.
    """

    def __init__(self, config: SequenceConfig, tables: ItemTables, history_decay: float = 1.0) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_items, self.history_decay = tables.num_items, history_decay
        self.ids = nn.Embedding(tables.num_items, width) if config.use_ids else None
        self.text = nn.Linear(tables.text.shape[1], width, bias=False) if config.use_text else None
        self.positions = nn.Embedding(config.max_items, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        for name, tensor in tables.to_tensors().items():
            self.register_buffer(f"table_{name}", tensor, persistent=False)
        for table in (self.ids, self.positions):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)
        if self.text is not None:
            nn.init.normal_(self.text.weight, std=0.05)

    def forward(self, items: Tensor, targets: Tensor | None = None, negatives: Tensor | None = None) -> Tensor:
        """Logits of what comes next.

        Args:
            items: (batch, length) int64, the newest last; `num_items` pads at the start.
            targets: (batch, length) int64, what came after each item; NO_TARGET: do not score there.
            negatives: (negatives,) int64, the items to score beside each target.

        Returns:
            Without targets (batch, items), after the last item. With targets one row per target, in their order:
            (targets, items), or with negatives (targets, 1 + negatives), the target first.
        """
        vectors = self.item_vectors()
        states = self.encode(items, vectors)
        if targets is None:
            return states[:, -1] @ vectors.T
        chosen = targets != NO_TARGET
        states, wanted = states[chosen], targets[chosen]
        if negatives is None:
            return states @ vectors.T
        return _sampled(states, vectors, wanted, negatives)

    def item_vectors(self) -> Tensor:
        """(items, hidden)."""
        parts = [] if self.ids is None else [self.ids.weight]
        if self.text is not None:
            parts.append(self.text(self.table_text))
        return torch.stack(parts).sum(dim=0)

    def encode(self, items: Tensor, vectors: Tensor) -> Tensor:
        """States (batch, length, hidden); each depends on its item and those before it."""
        length = items.shape[1]
        known = items != self.num_items
        places = torch.arange(length - 1, -1, -1, device=items.device)
        padded = functional.pad(vectors, (0, 0, 0, 1))
        # Noise of 0.02 would drown in the positions: SASRec scales by the root of the width, as transformers do.
        states = self.dropout(padded[items] * math.sqrt(vectors.shape[1]) + self.positions(places))
        seen = torch.ones(length, length, dtype=torch.bool, device=items.device).tril() & known[:, None, :]
        # A row without any key would be NaN: padding sees itself.
        mask = (seen | torch.eye(length, dtype=torch.bool, device=items.device))[:, None]
        for block in self.blocks:
            states = block(states, mask)
        return self.norm(states)

    def transition_counts(self, items: Tensor) -> Tensor:
        """(batch, items) float32: how often each item came after those of a history, older ones counting less."""
        batch, length = items.shape
        ages = torch.arange(length - 1, -1, -1, device=items.device)
        known = items != self.num_items
        rows, places = known.nonzero(as_tuple=True)
        before = items[known]
        begin = self.table_starts[before]
        number = self.table_starts[before + 1] - begin
        # Entry k of history item j stands at begin[j] + k.
        offsets = begin - (number.cumsum(0) - number)
        entries = torch.arange(int(number.sum()), device=items.device) + offsets.repeat_interleave(number)
        weights = (self.history_decay ** ages[places].float()).repeat_interleave(number)
        cells = rows.repeat_interleave(number) * self.num_items + self.table_after[entries]
        counts = torch.zeros(batch * self.num_items, device=items.device)
        return counts.index_add_(0, cells, self.table_counts[entries] * weights).view(batch, self.num_items)


class Block(nn.Module):
    """Attention and a feed-forward network, each after a norm (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.network_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States (batch, length, width); mask (batch, 1, length, length), True where a state may look."""
        batch, length, width = states.shape
        mixed = self.queries_keys_values(self.attention_norm(states)).view(batch, length, 3, self.heads, -1)
        queries, keys, values = mixed.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        states = states + self.dropout(self.out(seen.transpose(1, 2).reshape(batch, length, width)))
        return states + self.dropout(self.network(self.network_norm(states)))


def _sampled(states: Tensor, vectors: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Logits of the target and the negatives, which stand for all other items of the catalogue."""
    own = (states * vectors[targets]).sum(dim=-1, keepdim=True)
    others = states @ vectors[negatives].T + math.log(len(vectors) / len(negatives))
    others = others.masked_fill(targets[:, None] == negatives, float("-inf"))
    return torch.cat([own, others], dim=1)


def log_counts(counts: Tensor) -> Tensor:
    """What counts of transitions say of each item: the log of its probability up to a constant."""
    return torch.log(counts + UNSEEN)


def blend(logits: Tensor, logs: Tensor, weight: float) -> Tensor:
    """Scores (batch, items) float32: the logit + weight * that of `log_counts`.

    A log-linear pool of two opinions, each of them a distribution over the catalogue up to a constant (Genest & Zidek
    1986, Combining Probability Distributions).
    """
    return torch.add(logits.float(), logs, alpha=weight)


def without_history(scores: Tensor, items: Tensor) -> Tensor:
    """Scores (batch, items) with minus infinity at the items (batch, length) of each whole history; `items` pads."""
    padded = functional.pad(scores, (0, 1))
    return padded.scatter(1, items, float("-inf"))[:, :-1]


def ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """Rank of each target among all items, from 0, float32; items of equal score share their mean rank.

    A score that is not a number counts as better than the target's, and such a target as worse than everything: a
    model that went astray must not look perfect.

    Args:
        scores: (batch, items).
        targets: (batch,) int64.
    """
    own = scores.gather(1, targets[:, None])
    not_worse, equal = (~(scores < own)).sum(dim=1), (scores == own).sum(dim=1)
    # Of those that are not worse the target itself is one, and of its equals half stand before it.
    return not_worse.float() - (equal.float() + 1) / 2
