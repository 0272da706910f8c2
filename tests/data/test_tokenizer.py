"""Pairs into tokens, and tokens into batches."""

import numpy as np
import pytest

from planogram.data.collate import collate, token_batches
from planogram.data.tokenizer import PairTokenizer, load_tokenizer, train_tokenizer
from planogram.errors import IntegrityError

CORPUS = ["red running shoes", "blue running shoes", "red kettle", "blue kettle with a lid"] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CORPUS, 120)


def test_the_same_corpus_gives_the_same_tokenizer(tokenizer):
    assert all(train_tokenizer(CORPUS, 120).to_str() == tokenizer.to_str() for _ in range(3))


def test_bpe_joins_chinese_characters_that_stand_together():
    corpus = ["手机很好", "手机不好", "这个手机，好", "iphone 手机"] * 5
    tokenizer = train_tokenizer(corpus, 60, "bpe")
    assert tokenizer.encode("好手机！手机丙").tokens == ["[CLS]", "好", "手机", "[UNK]", "手机", "[UNK]", "[SEP]"]
    assert tokenizer.encode("iPhone", "手机").type_ids == [0, 0, 0, 1, 1]
    assert train_tokenizer(corpus, 60, "bpe").to_str() == tokenizer.to_str()
    assert "手机" not in train_tokenizer(corpus, 60).get_vocab()


def test_a_pair_has_two_segments(tokenizer):
    tokens = PairTokenizer(tokenizer, 32).encode([("red shoes", "blue shoes")])
    text = [tokenizer.id_to_token(token) for token in tokens.input_ids[0]]
    assert text == ["[CLS]", "red", "shoes", "[SEP]", "blue", "shoes", "[SEP]"]
    assert tokens.token_type_ids[0] == [0, 0, 0, 0, 1, 1, 1]
    assert tokens.truncated == [False]


def test_the_longer_text_is_cut_and_it_is_said(tokenizer):
    tokens = PairTokenizer(tokenizer, 10).encode([("red shoes", "blue kettle with a lid " * 5)])
    assert tokens.lengths == [10]
    assert tokens.truncated == [True]
    assert tokens.token_type_ids[0].count(0) == 4


def test_a_damaged_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_padding_is_masked(tokenizer):
    tokens = PairTokenizer(tokenizer, 32).encode([("red", "blue"), ("red shoes", "blue kettle")])
    batch = collate(tokens, pad_id=9)
    assert batch.input_ids.shape == (2, 7)
    assert batch.attention_mask.sum(axis=1).tolist() == tokens.lengths
    assert (batch.input_ids[0, 5:] == 9).all()


def test_batches_keep_the_budget_and_every_item():
    lengths = list(np.random.default_rng(0).integers(1, 100, 200))
    groups = token_batches(lengths, 512)
    assert sorted(np.concatenate(groups)) == list(range(200))
    assert all(max(lengths[i] for i in group) * len(group) <= 512 for group in groups)


def test_an_item_beyond_the_budget_stands_alone():
    assert [list(group) for group in token_batches([600, 5], 512)] == [[1], [0]]
