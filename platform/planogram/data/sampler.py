"""Training examples into micro batches: lists of one group together, batches of similar length."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
# Examples are sorted by length within windows of so many micro batches: little padding, yet each epoch is different.
WINDOW_BATCHES = 32


def list_batches(
    groups: Integers,
    lengths: Integers,
    list_size: int,
    micro_batch: int,
    world_size: int,
    generator: np.random.Generator,
) -> list[Integers]:
    """Every example once, in micro batches.

    Args:
        groups: (examples,) number of the group (query).
        lengths: (examples,) tokens.
        list_size: examples of one group that stand together, at most; 1 for pointwise training.
        micro_batch: examples in one micro batch, at most, unless `list_size` is larger.
        world_size: that many neighbours have similar lengths, since their ranks wait for each other.
        generator: the order.

    Returns:
        Positions of examples, one array per micro batch.
    """
    lists = _lists(groups, list_size, generator)
    window = max(1, WINDOW_BATCHES * micro_batch // list_size)
    ordered: list[Integers] = []
    for start in range(0, len(lists), window):
        part = lists[start : start + window]
        ordered += sorted(part, key=lambda positions: int(lengths[positions].max()))
    batches = _pack(ordered, micro_batch)
    teams = [batches[start : start + world_size] for start in range(0, len(batches), world_size)]
    # The last team may be short; it stays last, so that the other teams stay together on their ranks.
    order = [*generator.permutation(len(teams) - 1), len(teams) - 1]
    return [batch for index in order for batch in teams[index]]


def _lists(groups: Integers, list_size: int, generator: np.random.Generator) -> list[Integers]:
    """Cut every group into lists in a random order, and shuffle the lists."""
    shuffled = generator.permutation(len(groups))
    by_group = shuffled[np.argsort(groups[shuffled], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[by_group])) + 1
    lists = [
        members[start : start + list_size]
        for members in np.split(by_group, starts)
        for start in range(0, len(members), list_size)
    ]
    return [lists[index] for index in generator.permutation(len(lists))]


def _pack(lists: list[Integers], micro_batch: int) -> list[Integers]:
    """Put neighbouring lists together while they fit."""
    batches: list[list[Integers]] = []
    filled = micro_batch
    for members in lists:
        if filled + len(members) > micro_batch:
            batches.append([])
            filled = 0
        batches[-1].append(members)
        filled += len(members)
    return [np.concatenate(batch) for batch in batches]
