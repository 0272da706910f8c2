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
from planogram.errors import DataError

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
        num_unknown: items and targets that are not in the catalogue and were dropped.
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


def catalogue(shop: str) -> list[str]:
    """The ids of all products; an item's number is its place here."""
    return [str(product) for product in read_table(shop, "products", ["product_id"])["product_id"]]


def load_sequences(shop: str, split: SplitConfig, parts: Sequence[str], numbers: Mapping[str, int]) -> Sequences:
    """Histories of parts of a shop, in the order of the parts.

    Without a table of histories they are what each user clicked, bought or rated, in time; the last item tests, the one
    before it validates.

    Args:
        shop: folder of a prepared shop.
        split: how its histories are split.
        parts: of train, valid, test, all.
        numbers: product id -> item number.

    Raises:
        DataError: the shop has neither histories nor interactions of users, or a part has no row.
    """
    frame = pd.concat([_part(shop, split, part) for part in parts], ignore_index=True)
    rows: list[Integers] = []
    first: list[int] = []
    seen: set[str] = set()
    given = 0
    for history, target, user in zip(frame["history"], frame["product_id"], frame["user_id"], strict=True):
        given += len(history) + 1
        if target not in numbers:
            continue
        rows.append(np.array([numbers[item] for item in (*history, target) if item in numbers], dtype=np.int64))
        first.append(len(rows[-1]) - 1 if user in seen else 0)
        if isinstance(user, str):
            seen.add(user)
    if not rows:
        raise DataError(f"no target of {', '.join(parts)} is in the products table", remedy="check the product ids")
    return Sequences(rows, np.array(first, dtype=np.int64), given - sum(map(len, rows)))


def _part(shop: str, split: SplitConfig, part: str) -> pd.DataFrame:
    if has_table(shop, "histories"):
        histories = read_table(shop, "histories")
        # What was disliked was not taken.
        return take(histories[histories["label"].fillna(1.0) > 0], split, part, "history")
    events = read_table(shop, "interactions", ["timestamp", "event_type", "product_id", "user_id"])
    taken = events[events["event_type"].isin(TAKEN) & events["user_id"].notna()]
    if taken.empty:
        raise DataError(
            f"{shop} has no histories, and no {', '.join(TAKEN)} with a user", remedy="map histories or interactions"
        )
    return take(leave_one_out(taken), SplitConfig(by="given"), part, "history")


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


def padded(rows: Sequence[Integers], max_items: int, pad: int) -> Integers:
    """(rows, longest) int64: the newest `max_items` of every row, at the end; `pad` before them. At least one wide."""
    width = max(1, min(max_items, max((len(row) for row in rows), default=1)))
    values = np.full((len(rows), width), pad, dtype=np.int64)
    for place, row in enumerate(rows):
        if newest := len(row[-width:]):
            values[place, -newest:] = row[-newest:]
    return values
