"""Language models: tied heads whose logits at some tokens are those of all tokens."""

import pytest
import torch
from torch.nn import functional
from transformers import AlbertConfig, BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from planogram.config import BackboneConfig
from planogram.data.masking import IGNORED
from planogram.errors import ConfigError
from planogram.models.backbone import build_backbone, load_backbone
from planogram.models.language import CausalLanguageModel, MaskedLanguageModel, language_model

CORPUS = ["red leather shoes", "blue wooden lamp", "red wooden chair", "很好的手机"] * 3
BERT = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
GPT2 = GPT2Config(
    vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 50, (3, 12), generator=generator)
    present = (torch.arange(12) < torch.tensor([12, 7, 9])[:, None]).long()
    return ids * present, present


@pytest.mark.parametrize(("config", "kind"), [(BERT, MaskedLanguageModel), (GPT2, CausalLanguageModel)])
def test_logits_at_the_scored_tokens_are_those_of_the_full_computation(config, kind, batch):
    torch.manual_seed(0)
    model = kind(build_backbone(config)).eval()
    scored = torch.tensor([1, 5, 13, 20, 30])
    every = model(*batch, torch.arange(36))
    assert every.shape == (36, 50)
    torch.testing.assert_close(model(*batch, scored), every[scored], atol=1e-6, rtol=0)


def test_the_masked_head_is_berts(batch):
    torch.manual_seed(0)
    theirs = BertForMaskedLM(BERT).eval()
    head = theirs.cls.predictions
    torch.nn.init.normal_(head.bias)
    model = MaskedLanguageModel(theirs.bert).eval()
    model.lm_head.dense.load_state_dict(head.transform.dense.state_dict())
    model.lm_head.norm.load_state_dict(head.transform.LayerNorm.state_dict())
    model.lm_head.bias.data = head.bias.data
    expected = theirs(input_ids=batch[0], attention_mask=batch[1]).logits.flatten(0, 1)
    torch.testing.assert_close(model(*batch, torch.arange(36)), expected, atol=1e-5, rtol=0)


def test_the_causal_loss_is_that_of_transformers(batch):
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2).eval()
    model = CausalLanguageModel(theirs.transformer).eval()
    ids, present = batch
    labels = ids.masked_fill(present == 0, IGNORED)
    expected = theirs(input_ids=ids, attention_mask=present, labels=labels).loss
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
    scored = torch.nonzero(following != IGNORED).flatten()
    loss = functional.cross_entropy(model(ids, present, scored), following[scored])
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("config", "kind"), [(BERT, MaskedLanguageModel), (GPT2, CausalLanguageModel)])
def test_the_matrix_of_the_head_is_the_input_embeddings(config, kind, batch):
    model = kind(build_backbone(config)).eval()
    names = dict(model.named_parameters())
    assert [name for name, parameter in names.items() if parameter.shape == (50, 16)] == [
        name for name in names if "word_embeddings" in name or "wte" in name
    ]
    before = model(*batch, torch.tensor([3]))
    with torch.no_grad():
        model.backbone.get_input_embeddings().weight[49] += torch.randn(16)
    after = model(*batch, torch.tensor([3]))
    assert not torch.allclose(before[0, 49], after[0, 49])


def test_embeddings_narrower_than_the_states_are_decoded(batch):
    config = AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    assert language_model(build_backbone(config), "masked")(*batch, torch.arange(4)).shape == (4, 50)


@pytest.mark.parametrize(("config", "objective"), [(BERT, "causal"), (GPT2, "masked")])
def test_an_objective_needs_its_kind_of_backbone(config, objective):
    with pytest.raises(ConfigError, match=f"objective={objective}"):
        language_model(build_backbone(config), objective)


def test_a_decoder_from_scratch_has_the_configured_shape_and_begins_and_ends_texts():
    config = BackboneConfig(
        name="scratch",
        family="gpt2",
        hidden_size=32,
        layers=3,
        attention_heads=2,
        vocab_size=300,
        dropout=0.25,
        attention_dropout=0.125,
    )
    model, tokenizer = load_backbone(config, CORPUS, 200)
    shape = model.config
    assert (shape.model_type, shape.n_embd, shape.n_layer, shape.n_head, shape.n_positions) == ("gpt2", 32, 3, 2, 200)
    assert (shape.resid_pdrop, shape.embd_pdrop, shape.attn_pdrop) == (0.25, 0.25, 0.125)
    assert shape.vocab_size == tokenizer.get_vocab_size()
    encoding = tokenizer.encode("red 手机")
    assert encoding.tokens == ["[CLS]", "red", "手", "机", "[SEP]"]
    assert (encoding.ids[0], encoding.ids[-1]) == (shape.bos_token_id, shape.eos_token_id)
    assert shape.pad_token_id == tokenizer.token_to_id("[PAD]")
