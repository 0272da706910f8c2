"""Histories as item numbers, and how often an item came after another."""

import numpy as np
import pandas as pd
import pytest

from planogram.config import SplitConfig, TransitionConfig
from planogram.data.examples.sequences import (
    Sequences,
    catalogue,
    count_targets,
    count_transitions,
    leave_one_out,
    load_sequences,
    padded,
)
from planogram.errors import ConfigError, DataError

GIVEN = SplitConfig(by="given")
NUMBERS = {letter: number for number, letter in enumerate("abcdef")}
PRODUCTS = [{"product_id": letter, "title": letter} for letter in "abcdef"]


def row(history: str, target: str, user: str | None, split: str = "train", **more) -> dict[str, object]:
    key = f"{split}/{user}/{history}{target}"
    return {"history_id": key, "history": list(history), "product_id": target, "user_id": user, "split": split, **more}


def event(user: str | None, second: int, product: str, event_type: str = "click") -> dict[str, object]:
    return {
        "event_id": f"{user}-{second}-{product}",
        "timestamp": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=second),
        "event_type": event_type,
        "product_id": product,
        "user_id": user,
    }


def words(sequences: Sequences) -> list[str]:
    return ["".join("abcdef"[item] for item in items) for items in sequences.items]


@pytest.fixture
def load(make_shop):
    """load(rows, parts): sequences of a shop with these histories."""

    def loaded(rows: list[dict[str, object]], *parts: str, numbers: dict[str, int] | None = None) -> Sequences:
        shop = make_shop(products=PRODUCTS, histories=rows)
        return load_sequences(shop, GIVEN, parts or ["train"], NUMBERS if numbers is None else numbers)

    return loaded


@pytest.fixture
def load_events(make_shop):
    def loaded(events: list[dict[str, object]], *parts: str, split: SplitConfig = GIVEN) -> Sequences:
        return load_sequences(make_shop(products=PRODUCTS, interactions=events), split, parts, NUMBERS)

    return loaded


def test_an_items_number_is_its_place_in_the_catalogue(make_shop):
    assert catalogue(make_shop(products=PRODUCTS)) == list("abcdef")


def test_a_row_ends_with_its_target(load):
    sequences = load([row("ab", "c", "u"), row("", "d", "v"), row("e", "f", "w", "test")])
    assert sorted(words(sequences)) == ["abc", "d"]
    assert sorted(sequences.targets) == [2, 3]
    assert sorted(sequences.lengths) == [1, 3]
    assert len(sequences) == 2
    assert sequences.first.tolist() == [0, 0]


def test_parts_stand_in_the_order_asked_for(load):
    rows = [row("a", "b", "u", "test"), row("c", "d", "v", "valid"), row("ef", "a", "w")]
    assert words(load(rows, "train", "valid", "test")) == ["efa", "cd", "ab"]
    assert words(load(rows, "valid", "train")) == ["cd", "efa"]


def test_each_step_of_a_shopper_is_new_once(load):
    rows = [row("ab", "c", "u"), row("abc", "d", "u", "valid"), row("abcd", "e", "u", "valid"), row("a", "b", "v")]
    sequences = load(rows, "train", "valid")
    assert words(sequences) == ["ab", "abc", "abcd", "abcde"]
    assert sequences.first.tolist() == [0, 0, 3, 4]
    assert count_targets(sequences, 6).tolist() == [2, 2, 1, 1, 1, 0]


def test_rows_of_a_shopper_may_stand_in_any_order(load):
    """A table of several files has them as their keys hash."""
    sequences = load([row("abc", "d", "u"), row("", "a", "u"), row("ab", "c", "u")])
    assert words(sequences) == ["a", "abc", "abcd"]
    assert sequences.first.tolist() == [0, 2, 3]


def test_rows_without_a_user_are_of_different_shoppers(load):
    assert load([row("ab", "c", None), row("ab", "d", None)]).first.tolist() == [0, 0]


def test_what_the_catalogue_lacks_is_passed_over_and_a_target_counted(load):
    rows = [row("axb", "c", "u"), row("ab", "x", "v"), row("x", "d", "w")]
    sequences = load(rows)
    assert sorted(words(sequences)) == ["abc", "d"]
    assert sequences.num_unknown == 1


def test_what_was_disliked_was_not_taken(load):
    rows = [
        row("abc", "d", "u", history_labels=["1", "0", "1"]),
        row("abcd", "e", "u", history_labels=["1", "0", "1", "1"], label=0.0),
        row("ab", "f", "v", label=1.0),
    ]
    assert sorted(words(load(rows))) == ["abf", "acd"]


def test_a_part_without_rows_or_without_known_targets_is_refused(load):
    with pytest.raises(DataError, match="no history in part 'valid'"):
        load([row("a", "b", "u")], "valid")
    with pytest.raises(DataError, match="no target of train is in the products table"):
        load([row("a", "b", "u")], numbers={"z": 0})


def test_of_interactions_the_last_item_tests_and_the_one_before_it_validates(load_events):
    events = [event("u", second, item) for second, item in enumerate("abcd")]
    events += [event("v", 9, "f"), event("v", 5, "e"), event("v", 1, "a", "impression"), event(None, 1, "a")]
    assert words(load_events(events, "train")) == ["ab", "ef"]
    assert words(load_events(events, "valid")) == ["abc"]
    assert words(load_events(events, "test")) == ["abcd"]
    sequences = load_events(events, "train", "valid")
    assert words(sequences) == ["ab", "ef", "abc"]
    assert sequences.first.tolist() == [0, 0, 2]


def test_interactions_are_not_split_otherwise(load_events):
    with pytest.raises(ConfigError, match=r"split.by=user"):
        load_events([event("u", 0, "a")], "train", split=SplitConfig(by="user"))


def test_a_shop_where_nobody_took_anything_is_refused(load_events):
    with pytest.raises(DataError, match="no histories, and no click"):
        load_events([event("u", 0, "a", "impression")], "train")


def test_leave_one_out_by_hand():
    events = [("u", 3, "c"), ("u", 1, "a"), ("u", 2, "b"), ("u", 4, "c"), ("v", 1, "a"), ("v", 2, "b"), ("w", 1, "d")]
    rows = leave_one_out(pd.DataFrame(events, columns=["user_id", "timestamp", "product_id"]))
    assert [(r.user_id, r.split, "".join(r.history), r.product_id) for r in rows.itertuples()] == [
        ("u", "train", "", "a"),
        ("u", "valid", "a", "b"),
        ("u", "test", "ab", "c"),  # twice in a row is one choice
        ("v", "train", "a", "b"),
        ("w", "train", "", "d"),
    ]


def test_events_of_one_instant_keep_their_order():
    events = pd.DataFrame({"user_id": "u", "timestamp": 1, "product_id": list("cabd")})
    rows = leave_one_out(events)
    assert [*rows["history"].iloc[-1], rows["product_id"].iloc[-1]] == list("cabd")


@pytest.mark.parametrize("window", [1, 3, 100])
@pytest.mark.parametrize("reverse", [0.0, 0.25])
def test_transitions_are_counted_as_a_loop_would(window, reverse):
    generator = np.random.default_rng(window)
    items = [generator.integers(0, 8, size) for size in (1, 2, 5, 9)]
    first = np.array([0, 0, 4, 3])
    config = TransitionConfig(window=window, step_decay=0.5, reverse=reverse)
    expected = np.zeros((8, 8))
    for sequence, start in zip(items, first, strict=True):
        for later in range(start, len(sequence)):
            for earlier in range(later):
                if later - earlier <= window:
                    worth = 0.5 ** (later - earlier - 1)
                    expected[sequence[earlier], sequence[later]] += worth
                    expected[sequence[later], sequence[earlier]] += reverse * worth
    found = count_transitions(Sequences(items, first, 0), 8, config)
    assert found.dtype == np.float32
    assert found.toarray() == pytest.approx(expected, abs=1e-6)


def test_histories_of_one_item_have_no_transitions():
    found = count_transitions(Sequences([np.array([2])], np.array([0]), 0), 4, TransitionConfig())
    assert found.nnz == 0
    assert found.shape == (4, 4)


def test_the_newest_items_stand_at_the_end():
    rows = [np.array([1, 2, 3]), np.array([4]), np.array([], dtype=np.int64)]
    assert padded(rows, 9).tolist() == [[1, 2, 3], [9, 9, 4], [9, 9, 9]]
    assert padded(rows, 9, max_items=2).tolist() == [[2, 3], [9, 4], [9, 9]]
    assert padded(rows, 9, max_items=50).tolist() == padded(rows, 9).tolist()


def test_empty_histories_are_one_wide():
    assert padded([np.array([], dtype=np.int64)], 9).tolist() == [[9]]
    assert padded([], 9).shape == (0, 1)
