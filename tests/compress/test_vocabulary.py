"""Fewer tokens, the same texts."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from planogram.compress.vocabulary import trim_embeddings, trim_tokenizer, used_tokens
from planogram.config import BackboneConfig
from planogram.data.tokenizer import train_tokenizer
from planogram.errors import ConfigError
from planogram.models.backbone import load_backbone

CORPUS = ["red running shoes", "blue kettle with a lid", "a lamp 手机", "green lamp shade", "über alles"] * 5
SHOP = ["red lamp", "green kettle", "手机"]


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


@pytest.mark.parametrize("make", [lambda: train_tokenizer(CORPUS, 150), unigram])
def test_the_shops_texts_are_cut_as_before(make):
    tokenizer = make()
    kept = used_tokens(tokenizer, SHOP)
    small = trim_tokenizer(tokenizer, kept)
    assert small.get_vocab_size() == len(kept) < tokenizer.get_vocab_size()
    for text in SHOP:
        wanted, found = tokenizer.encode(text, "lamp"), small.encode(text, "lamp")
        assert found.tokens == wanted.tokens
        assert kept[found.ids].tolist() == wanted.ids
        assert found.type_ids == wanted.type_ids


def test_a_new_word_is_spelt_with_what_is_left():
    small = trim_tokenizer(tokenizer := train_tokenizer(CORPUS, 150), used_tokens(tokenizer, SHOP))
    assert "shoes" in tokenizer.get_vocab() and "shoes" not in small.get_vocab()
    assert "[UNK]" not in small.encode("shoes").tokens


def test_vectors_go_with_their_tokens():
    config = BackboneConfig(name="scratch", hidden_size=32, layers=1, attention_heads=2, vocab_size=150)
    backbone, tokenizer = load_backbone(config, CORPUS, 32)
    backbone.eval()
    kept = used_tokens(tokenizer, SHOP)
    small = trim_tokenizer(tokenizer, kept)
    encodings = [each.encode("red lamp", "green kettle").ids for each in (tokenizer, small)]
    with torch.no_grad():
        wanted = backbone(input_ids=torch.tensor([encodings[0]])).last_hidden_state
        trim_embeddings(backbone, kept)
        found = backbone(input_ids=torch.tensor([encodings[1]])).last_hidden_state
    torch.testing.assert_close(found, wanted)
    assert backbone.config.vocab_size == len(kept)
    assert small.id_to_token(backbone.config.pad_token_id) == "[PAD]"


def test_tokens_that_are_merged_from_others_stay():
    tokenizer = train_tokenizer(CORPUS, 150, "bpe")
    with pytest.raises(ConfigError, match="BPE vocabulary cannot be trimmed"):
        trim_tokenizer(tokenizer, np.arange(10))
