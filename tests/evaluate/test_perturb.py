"""Queries written otherwise."""

import numpy as np
import pytest

from planogram.evaluate.perturb import KEYS, PARAPHRASES, TYPOS, neighbours, number, order, popular_words, stop_words


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", TYPOS)
@pytest.mark.parametrize("seed", range(20))
def test_a_typo_changes_inner_letters_of_one_word(kind, seed):
    typed = TYPOS[kind]("black leather shoes", generator(seed))
    changed = [(a, b) for a, b in zip(["black", "leather", "shoes"], typed.split(), strict=True) if a != b]
    assert len(changed) <= 1
    for before, after in changed:
        assert (before[0], before[-1]) == (after[0], after[-1])
        assert len(after) == len(before) - (kind == "drop")
    # Only a swap of two equal letters leaves all as it was.
    assert changed or kind == "swap"


def test_the_same_seed_gives_the_same_typo():
    assert TYPOS["neighbour"]("leather", generator(3)) == TYPOS["neighbour"]("leather", generator(3))


@pytest.mark.parametrize("kind", TYPOS)
def test_short_words_numbers_and_other_scripts_are_left_alone(kind):
    for query in ("tv 4k", "rtx4090", "红色鞋子", ""):
        assert TYPOS[kind](query, generator()) == query


def test_neighbours_lie_beside_each_other():
    assert set(neighbours("s")) == set("adwx")
    assert set(neighbours("Q")) == set("wa")
    assert neighbours("7") == ""
    for letter in "".join(KEYS):
        assert letter not in neighbours(letter)
        assert 1 <= len(neighbours(letter)) <= 4


def test_another_order_has_the_same_words():
    turned = order("red leather shoes", generator())
    assert turned != "red leather shoes"
    assert sorted(turned.split()) == ["leather", "red", "shoes"]
    assert order("shoes", generator()) == "shoes"
    assert order("pet pet", generator()) == "pet pet"


@pytest.mark.parametrize(
    ("one", "many"),
    [("red shoe", "red shoes"), ("lamp", "lamps"), ("watch", "watches"), ("battery", "batteries"), ("toy", "toys")],
)
def test_the_last_word_goes_into_the_plural_and_back(one, many):
    assert number(one, generator()) == many
    assert number(many, generator()) == one


def test_a_word_that_ends_like_a_plural_stays_a_word():
    assert number("evening dress", generator()) == "evening dresses"
    assert number("usb 3", generator()) == "usb 3"


def test_stop_words_go_or_come():
    assert stop_words("shoes for the rain", generator()) == "shoes rain"
    assert stop_words("red shoes", generator()) == "the red shoes"
    assert stop_words("the", generator()) == "the the"
    assert stop_words("鞋子", generator()) == "鞋子"


def test_every_kind_takes_every_text():
    for change in {**TYPOS, **PARAPHRASES}.values():
        for query in ("", " ", "a", "ab cd", "xylophones 12-pack & more"):
            assert isinstance(change(query, generator()), str)


def test_popular_words_are_those_of_most_queries():
    queries = ["red shoes", "red lamp", "the red red chair", "blue lamp"]
    assert popular_words(queries, 3) == ["red", "lamp", "blue"]
