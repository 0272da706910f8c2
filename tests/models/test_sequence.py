"""The sequence model: what a state may see, counts of transitions, and ranks."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn import functional

from planogram.config import SequenceConfig
from planogram.models.sequence import (
    NO_TARGET,
    UNSEEN,
    ItemTables,
    SequenceModel,
    blend,
    log_counts,
    ranks,
    without_history,
)

ITEMS, PAD = 7, 7
DECAY = 0.5


@pytest.fixture
def counts() -> torch.Tensor:
    """(items before, items after): item 3 leads nowhere, item 6 to everything."""
    dense = torch.tensor(np.random.default_rng(0).integers(0, 4, (ITEMS, ITEMS)), dtype=torch.float32)
    dense[3], dense[6] = 0.0, 2.5
    return dense


def tables(counts: torch.Tensor, width: int = 3) -> ItemTables:
    sparse = csr_array(counts.numpy())
    text = functional.normalize(torch.randn(ITEMS, width), dim=1) if width else torch.zeros(ITEMS, 0)
    starts, after = (torch.tensor(part, dtype=torch.int64) for part in (sparse.indptr, sparse.indices))
    return ItemTables(ITEMS, text, starts, after, torch.tensor(sparse.data))


def model(counts: torch.Tensor, **settings) -> SequenceModel:
    torch.manual_seed(0)
    config = SequenceConfig(**{"hidden_size": 16, "dropout": 0.0, "max_items": 6, **settings})
    made = SequenceModel(config, tables(counts, 3 if config.use_text else 0), DECAY).eval()
    for parameter in made.parameters():  # far from the start, where everything is nearly equal
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def states(made: SequenceModel, *items: int) -> torch.Tensor:
    return made.encode(torch.tensor([items]), made.item_vectors())[0]


def test_a_state_does_not_depend_on_what_came_later(counts):
    made = model(counts)
    before, after = states(made, 0, 1, 2, 3), states(made, 0, 1, 5, 6)
    torch.testing.assert_close(before[:2], after[:2], atol=1e-5, rtol=0)
    assert (before[2:] - after[2:]).abs().min(dim=1).values.max() > 1e-3


def test_a_state_depends_on_what_came_before(counts):
    made = model(counts)
    assert (states(made, 0, 1, 2)[-1] - states(made, 4, 1, 2)[-1]).abs().max() > 1e-3
    assert (states(made, 0, 1, 2)[-1] - states(made, 1, 0, 2)[-1]).abs().max() > 1e-3


def test_padding_changes_nothing(counts):
    """A history scores the same alone and beside a longer one."""
    made = model(counts)
    alone = made(torch.tensor([[1, 2]]))
    padded = made(torch.tensor([[PAD, PAD, 1, 2], [3, 4, 5, 6]]))
    torch.testing.assert_close(padded[:1], alone, atol=1e-5, rtol=0)


def test_an_empty_history_has_finite_scores(counts):
    assert torch.isfinite(model(counts)(torch.tensor([[PAD, PAD]]))).all()


def test_with_targets_there_is_a_row_for_each(counts):
    made = model(counts)
    items = torch.tensor([[PAD, 0, 1], [2, 3, 4]])
    targets = torch.tensor([[NO_TARGET, NO_TARGET, 5], [3, NO_TARGET, 6]])
    logits = made(items, targets)
    every = made.encode(items, made.item_vectors()) @ made.item_vectors().T
    torch.testing.assert_close(logits, torch.stack([every[0, 2], every[1, 0], every[1, 2]]))
    torch.testing.assert_close(logits[[0, 2]], made(items))


@pytest.mark.parametrize(("use_ids", "use_text"), [(True, True), (True, False), (False, True)])
def test_an_items_vector_is_the_sum_of_its_parts(counts, use_ids, use_text):
    made = model(counts, use_ids=use_ids, use_text=use_text)
    expected = torch.zeros(ITEMS, 16)
    if use_ids:
        expected = expected + made.ids.weight
    if use_text:
        expected = expected + made.table_text @ made.text.weight.T
    torch.testing.assert_close(made.item_vectors(), expected)


def test_tables_are_no_weights(counts):
    assert not [name for name in model(counts).state_dict() if name.startswith("table_")]


def test_all_negatives_of_a_sampled_softmax_are_the_whole_softmax(counts):
    """With every item drawn once the sampled loss is the full one, the target's second appearance left out."""
    made = model(counts)
    items, targets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2, 6]])
    full = functional.cross_entropy(made(items, targets), targets[0])
    sampled = made(items, targets, torch.arange(ITEMS))
    assert sampled.shape == (3, 1 + ITEMS)
    torch.testing.assert_close(functional.cross_entropy(sampled, torch.zeros(3, dtype=torch.long)), full)


def test_a_sample_stands_for_the_whole_catalogue(counts):
    made = model(counts)
    items, targets, negatives = torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([4, 1])
    full, sampled = made(items, targets), made(items, targets, negatives)
    shift = np.log(ITEMS / 2)
    torch.testing.assert_close(sampled[:, 0], full[[0, 1], [1, 2]])
    torch.testing.assert_close(sampled[:, 1], full[:, 4] + shift)
    assert sampled[0, 2] == float("-inf")  # it is the target
    torch.testing.assert_close(sampled[1, 2], full[1, 1] + shift)


@pytest.mark.parametrize(
    "histories",
    [[[0, 1, 2]], [[PAD, 6], [3, 3]], [[PAD, PAD], [4, 4]], [[PAD], [PAD]], [[5, 6, 0], [PAD, 2, 3], [PAD, PAD, 1]]],
)
def test_transitions_are_counted_as_a_loop_would(counts, histories):
    expected = torch.zeros(len(histories), ITEMS)
    for row, history in enumerate(histories):
        for age, item in enumerate(reversed(history)):
            if item != PAD:
                expected[row] += DECAY**age * counts[item]
    found = model(counts).transition_counts(torch.tensor(histories))
    torch.testing.assert_close(found, expected)


def test_a_catalogue_without_transitions_counts_nothing():
    found = model(torch.zeros(ITEMS, ITEMS)).transition_counts(torch.tensor([[0, 1]]))
    assert found.tolist() == [[0.0] * ITEMS]


def test_the_blend_by_hand():
    logs = log_counts(torch.tensor([[0.0, 3.0]]))
    scores = blend(torch.tensor([[1.0, 2.0]]), logs, 2.0)
    assert scores.tolist()[0] == pytest.approx([1 + 2 * np.log(UNSEEN), 2 + 2 * np.log(3 + UNSEEN)])
    alone = blend(torch.tensor([[1.0, 2.0]]), logs, 0.0)
    assert alone.tolist() == [[1.0, 2.0]]


def test_what_was_had_is_never_proposed():
    scores = torch.arange(6.0).view(2, 3)
    hidden = without_history(scores, torch.tensor([[3, 0, 2], [3, 3, 3]]))
    assert hidden.tolist() == [[float("-inf"), 1.0, float("-inf")], [3.0, 4.0, 5.0]]
    assert scores.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_ranks_are_mean_ranks_of_equals():
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [5.0, 5.0, 5.0], [0.0, 1.0, 1.0]])
    assert ranks(scores, torch.tensor([0, 1, 2, 0])).tolist() == [0.0, 0.5, 1.0, 2.0]


def test_ranks_are_what_sorting_gives():
    scores = torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20)
    order = scores.argsort(dim=1, descending=True)
    assert ranks(scores, targets).tolist() == [order[row].tolist().index(row) for row in range(20)]


def test_a_target_that_is_hidden_ranks_last():
    scores = torch.tensor([[float("-inf"), 2.0, 1.0]])
    assert ranks(scores, torch.tensor([0])).tolist() == [2.0]


def test_scores_that_are_no_numbers_never_look_good():
    nan = float("nan")
    assert ranks(torch.tensor([[nan] * 40, [nan, 1.0, *[0.0] * 38]]), torch.tensor([0, 1])).tolist() == [39.5, 1.0]
