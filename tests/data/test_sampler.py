"""Micro batches: every example once, lists together, bounded, reproducible."""

import numpy as np
import pytest

from planogram.data.sampler import list_batches

GROUPS = np.repeat(np.arange(20), np.arange(1, 21)).astype(np.int64)
LENGTHS = np.random.default_rng(0).integers(5, 60, len(GROUPS))


def batches(list_size=4, micro_batch=16, world_size=2, seed=0):
    return list_batches(GROUPS, LENGTHS, list_size, micro_batch, world_size, np.random.default_rng(seed))


@pytest.mark.parametrize("list_size", [1, 4, 16])
def test_every_example_comes_once(list_size):
    assert sorted(np.concatenate(batches(list_size))) == list(range(len(GROUPS)))


def test_batches_are_bounded():
    assert max(map(len, batches())) <= 16


def test_a_query_stands_in_lists():
    alone = [(GROUPS[batch] == group).sum() for batch in batches() for group in set(GROUPS[batch]) if group >= 3]
    assert np.mean([count > 1 for count in alone]) > 0.6


def test_the_generator_decides_the_order():
    assert all(np.array_equal(a, b) for a, b in zip(batches(seed=1), batches(seed=1), strict=True))
    assert [list(batch) for batch in batches(seed=1)] != [list(batch) for batch in batches(seed=2)]


def test_less_is_padding_than_in_random_batches():
    padded = sum(LENGTHS[batch].max() * len(batch) for batch in batches(list_size=1))
    order = np.random.default_rng(0).permutation(len(GROUPS))
    random = sum(LENGTHS[part].max() * len(part) for part in np.array_split(order, len(GROUPS) // 16))
    assert padded < 0.8 * random
