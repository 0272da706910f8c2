"""Masks: how much, of what, and what replaces it."""

import numpy as np
import pytest

from planogram.data.masking import IGNORED, SPECIAL, MaskRule, mask

MASK_ID = 4
ORDINARY = np.arange(5, 1000)
STYLES = ["token", "whole_word", "span"]


def rule(style="token", share=0.15, mean_span=3.0):
    return MaskRule(style, share, mean_span, MASK_ID, ORDINARY)


def text(generator, num_words, longest=3):
    """[CLS] words of 1 to `longest` tokens [SEP]: ids and word numbers."""
    words = np.repeat(np.arange(num_words), generator.integers(1, longest + 1, num_words))
    ids = generator.choice(ORDINARY, len(words))
    return np.r_[2, ids, 3], np.r_[SPECIAL, words, SPECIAL]


def drawn(style, count=400, num_words=40, **settings):
    generator = np.random.default_rng(0)
    for _ in range(count):
        ids, words = text(generator, num_words)
        yield ids, words, *mask(ids, words, rule(style, **settings), generator)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_the_share_is_kept_on_average(style, share):
    found = list(drawn(style, share=share))
    asked = sum((labels != IGNORED).sum() for *_, labels in found)
    assert asked / sum((words != SPECIAL).sum() for _, words, *_ in found) == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("style", STYLES)
def test_labels_are_the_tokens_and_the_rest_is_unchanged(style):
    for ids, words, read, labels in drawn(style, count=50):
        asked = labels != IGNORED
        assert np.array_equal(labels[asked], ids[asked])
        assert np.array_equal(read[~asked], ids[~asked])
        assert not asked[words == SPECIAL].any()


@pytest.mark.parametrize("style", STYLES)
def test_of_ten_eight_are_hidden_one_is_replaced_and_one_stays(style):
    counts = np.zeros(3)
    for ids, _, read, labels in drawn(style, count=1000):
        asked = labels != IGNORED
        kept = read[asked] == ids[asked]
        hidden = read[asked] == MASK_ID
        counts += [hidden.sum(), (~hidden & ~kept).sum(), kept.sum()]
    assert counts / counts.sum() == pytest.approx([0.8, 0.1, 0.1], abs=0.015)


def test_what_replaces_is_ordinary_and_any_of_it():
    found = [read[(read != ids) & (read != MASK_ID)] for ids, _, read, _ in drawn("token", count=2000)]
    values = np.concatenate(found)
    assert np.isin(values, ORDINARY).all()
    assert len(np.unique(values)) > 600


@pytest.mark.parametrize("style", ["whole_word", "span"])
def test_words_are_masked_as_a_whole(style):
    for _, words, _, labels in drawn(style, count=200):
        asked = labels != IGNORED
        for word in np.unique(words[asked]):
            assert asked[words == word].all()


def test_single_tokens_split_words():
    split = 0
    for _, words, _, labels in drawn("token", count=50):
        asked = labels != IGNORED
        split += sum(not asked[words == word].all() for word in np.unique(words[asked]))
    assert split


def test_long_words_are_as_likely_as_short_ones():
    """Skipping words that exceed the budget would leave them out of short texts."""
    words = np.r_[SPECIAL, np.repeat(np.arange(6), [1, 1, 1, 1, 1, 3]), SPECIAL]
    ids = np.arange(10, 10 + len(words))
    generator = np.random.default_rng(0)
    hits = np.zeros(6)
    for _ in range(6000):
        _, labels = mask(ids, words, rule("whole_word", share=0.5), generator)
        hits[np.unique(words[labels != IGNORED])] += 1
    assert hits[5] / hits[:5].mean() == pytest.approx(1.0, abs=0.25)


def test_spans_are_longer_than_words_and_share_their_fate():
    def runs(style):
        lengths = []
        for _, words, _, labels in drawn(style, count=300, num_words=60):
            number = np.unique(words[labels != IGNORED])
            lengths += [len(part) for part in np.split(number, np.flatnonzero(np.diff(number) > 1) + 1)]
        return np.mean(lengths)

    assert runs("whole_word") < 1.4
    assert runs("span") > 2.0

    # One span in the text: all of it is hidden, or replaced, or stays.
    generator = np.random.default_rng(0)
    ids, words = np.arange(5, 25), np.arange(20)
    fates = []
    for _ in range(300):
        read, labels = mask(ids, words, rule("span", share=0.1, mean_span=10.0), generator)
        at = np.flatnonzero(labels != IGNORED)
        if len(at) == 2 and at[1] == at[0] + 1:
            fates.append(
                {
                    "hidden" if r == MASK_ID else "kept" if r == i else "other"
                    for r, i in zip(read[at], ids[at], strict=True)
                }
            )
    assert len(fates) > 100
    # Neighbours may be two spans, and a replacement may be the token itself: both are rare.
    assert np.mean([len(fate) == 1 for fate in fates]) > 0.97


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("num_words", [1, 2])
def test_a_short_text_has_a_masked_token(style, num_words):
    generator = np.random.default_rng(0)
    for _ in range(100):
        ids, words = text(generator, num_words)
        _, labels = mask(ids, words, rule(style), generator)
        assert (labels != IGNORED).any()


@pytest.mark.parametrize("style", STYLES)
def test_even_everything_can_be_masked(style):
    ids, words = text(np.random.default_rng(1), 10)
    _, labels = mask(ids, words, rule(style, share=0.999), np.random.default_rng(2))
    assert (labels != IGNORED).sum() >= (words != SPECIAL).sum() - 3


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_masks_the_same(style):
    ids, words = text(np.random.default_rng(1), 30)
    one, other, third = (mask(ids, words, rule(style), np.random.default_rng([0, seed])) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(one[1], third[1])


def test_the_text_is_not_changed_in_place():
    ids, words = text(np.random.default_rng(1), 30)
    before = ids.copy()
    mask(ids, words, rule(), np.random.default_rng(0))
    assert np.array_equal(ids, before)


def test_words_of_a_bert_tokenizer_are_its_continuations_and_chinese_characters_stand_alone():
    from planogram.data.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["shoes shoelace shoe 很好的手机 质量好", "shoe 手机"] * 3, 200)
    encoding = tokenizer.encode("shoelaces, 很好的 shoes")
    for place in range(1, len(encoding.ids) - 1):
        same = encoding.word_ids[place] == encoding.word_ids[place - 1]
        assert same == encoding.tokens[place].startswith("##")
    chinese = [word for token, word in zip(encoding.tokens, encoding.word_ids, strict=True) if token in "很好的"]
    assert len(set(chinese)) == len(chinese) == 3
