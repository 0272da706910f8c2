"""What shoppers took one after the other, as item numbers, and how often one item came after another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import SplitConfig, TransitionConfig
from planogram.data.examples.base import Integers
from planogram.data.shop import has_table, read_table
from planogram.data.splits import take
from planogram.errors import ConfigError, DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TAKEN = ("click", "purchase", "rating")


@dataclass(frozen=True)
class Sequences:
    """Histories with what came next.

    Attributes:
        items: per row the item numbers, the oldest first; the last is the target.
        first: (rows,) place of the first item that no earlier row of the shopper had as a target. Rows of one shopper
            overlap, and each step is learned once.
        num_unknown: rows that were left out, since their target is not in the catalogue.
    """

    items: list[Integers]
    first: Integers
    num_unknown: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def targets(self) -> Integers:
        """(rows,) item numbers."""
        return np.array([row[-1] for row in self.items], dtype=np.int64)

    @property
    def lengths(self) -> Integers:
        """(rows,) items of each row, the target included."""
        return np.array([len(row) for row in self.items], dtype=np.int64)


def catalogue(shop: str) -> list[str]:
    """The ids of all products; an item's number is its place here."""
    return [str(product) for product in read_table(shop, "products", ["product_id"])["product_id"]]


def load_sequences(shop: str, split: SplitConfig, parts: Sequence[str], numbers: Mapping[str, int]) -> Sequences:
    """Histories of parts of a shop, in the order of the parts, each with the shortest histories first.

    Without a table of histories they are what each user clicked, bought or rated, in time; the last item tests, the one
    before it validates. Items of a history that are not in the catalogue are passed over.

    Args:
        shop: folder of a prepared shop.
        split: how its histories are split.
        parts: of train, valid, test, all.
        numbers: product id -> item number.

    Raises:
        DataError: the shop has neither histories nor interactions of users, or a part has no row.
        ConfigError: the shop has no histories, and `split` is not `given`.
    """
    taken = _histories(shop) if has_table(shop, "histories") else _interactions(shop, split)
    frame = pd.concat([_shortest_first(take(taken, split, part, "history")) for part in parts], ignore_index=True)
    known = frame[frame["product_id"].isin(list(numbers))]
    if known.empty:
        raise DataError(f"no target of {', '.join(parts)} is in the products table", remedy="check the product ids")
    rows = [
        np.array([numbers[item] for item in (*history, target) if item in numbers], dtype=np.int64)
        for history, target in zip(known["history"], known["product_id"], strict=True)
    ]
    # Rows without a user are each of a shopper of their own.
    again = known["user_id"].notna() & known["user_id"].duplicated()
    first = np.where(again, [len(row) - 1 for row in rows], 0)
    return Sequences(rows, first.astype(np.int64), len(frame) - len(known))


def _histories(shop: str) -> pd.DataFrame:
    """The table `histories` without what was disliked: that was not taken."""
    rows = read_table(shop, "histories")
    rows = rows[rows["label"].fillna(1.0) > 0]
    pairs = zip(rows["history"], rows["history_labels"], strict=True)
    liked = pd.Series([_liked(history, labels) for history, labels in pairs], index=rows.index)
    return rows.assign(history=liked)


def _liked(history: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return list(history)
    return [item for item, label in zip(history, labels, strict=True) if label != "0"]


def _shortest_first(rows: pd.DataFrame) -> pd.DataFrame:
    """A shopper's rows in time, also where the table has them in another order: histories grow."""
    return rows.sort_values("history", key=lambda histories: histories.str.len(), kind="stable")


def _interactions(shop: str, split: SplitConfig) -> pd.DataFrame:
    if split.by != "given":
        raise ConfigError(
            f"split.by={split.by}, but {shop} has no histories",
            allowed="given: of each user's interactions the last item tests, and the one before it validates",
            remedy="set split.by=given, or map histories",
        )
    events = read_table(shop, "interactions", ["timestamp", "event_type", "product_id", "user_id"])
    taken = events[events["event_type"].isin(TAKEN) & events["user_id"].notna()]
    if taken.empty:
        raise DataError(
            f"{shop} has no histories, and no {', '.join(TAKEN)} with a user", remedy="map histories or interactions"
        )
    return leave_one_out(taken)


def leave_one_out(events: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of the table `histories`: per user the last item tests, and the one before it validates.

    An item that follows itself counts once: a click and the purchase after it are one choice. Users of fewer than three
    items train alone.

    Args:
        events: `user_id`, `timestamp` and `product_id`.
    """
    rows: list[dict[str, object]] = []
    for user, own in events.sort_values("timestamp", kind="stable").groupby("user_id", sort=True)["product_id"]:
        taken = own[own != own.shift()].tolist()
        ends = {"train": -2, "valid": -1, "test": len(taken)} if len(taken) > 2 else {"train": len(taken)}
        for part, end in ends.items():
            *history, target = taken[:end]
            rows.append({"user_id": user, "history": history, "product_id": target, "split": part})
    return pd.DataFrame(rows)


def count_transitions(sequences: Sequences, num_items: int, config: TransitionConfig) -> "csr_array":
    """How often an item came after another: (items before, items after) float32.

    An item that came d steps later counts step_decay ** (d - 1), and the opposite order `reverse` times that.
    """
    from scipy.sparse import coo_array

    steps = list(_steps(sequences, config.window))
    before, after, distance = np.array(steps, dtype=np.int64).reshape(-1, 3).T
    values = np.float32(config.step_decay) ** (distance - 1).astype(np.float32)
    counts = coo_array((values, (before, after)), shape=(num_items, num_items)).tocsr()
    return (counts + config.reverse * counts.T).tocsr().astype(np.float32)


def _steps(sequences: Sequences, window: int) -> Iterable[tuple[int, int, int]]:
    for row, first in zip(sequences.items, sequences.first, strict=True):
        for place in range(first, len(row)):
            for distance in range(1, min(window, place) + 1):
                yield int(row[place - distance]), int(row[place]), distance


def count_targets(sequences: Sequences, num_items: int) -> npt.NDArray[np.int64]:
    """(items,) how often each item was taken."""
    taken = [row[first:] for row, first in zip(sequences.items, sequences.first, strict=True)]
    return np.bincount(np.concatenate(taken), minlength=num_items)


def padded(rows: Sequence[Integers], pad: int, max_items: int | None = None) -> Integers:
    """(rows, longest) int64: every row, or its newest `max_items`, at the end; `pad` before it. At least one wide."""
    width = max((len(row) for row in rows), default=1)
    width = max(1, width if max_items is None else min(max_items, width))
    values = np.full((len(rows), width), pad, dtype=np.int64)
    for place, row in enumerate(rows):
        if newest := len(row[-width:]):
            values[place, -newest:] = row[-newest:]
    return values
