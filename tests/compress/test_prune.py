"""What pruning removes is gone, what it keeps computes as before, and what is worth most stays."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from planogram.compress.importance import layer_costs, magnitude, taylor, wanda
from planogram.compress.prune import BLOCK, prune_model, target_of
from planogram.config import BackboneConfig, PruneConfig
from planogram.data.collate import collate
from planogram.data.tokenizer import PairTokenizer
from planogram.errors import ConfigError
from planogram.models.backbone import build_backbone, load_backbone, read_architecture
from planogram.models.heads import CrossEncoder
from planogram.models.pruning import KeptLayer, encoder_layers, multiplications, prune

CORPUS = ["red running shoes", "blue kettle with a lid", "a lamp", "green lamp shade"] * 3
PAIRS = [("red shoes", "blue running shoes"), ("kettle", "blue kettle with a lid"), ("lamp shade", "a lamp")]
TARGETS = np.array([0.3, 1.0, 0.6], dtype=np.float32)


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    config = BackboneConfig(name="scratch", hidden_size=64, layers=3, attention_heads=4, vocab_size=200)
    backbone, tokenizer = load_backbone(config, CORPUS, 32)
    model = CrossEncoder(backbone, ["relevance"], "pair", 0.0).eval()
    with torch.no_grad():  # an untrained backbone hardly uses its layers
        for layer in encoder_layers(backbone):
            layer.attention.output.dense.weight *= 10
            layer.output.dense.weight *= 10
    return model, PairTokenizer(tokenizer, 32).encode(PAIRS)


@pytest.fixture
def model(made):
    return copy.deepcopy(made[0])


@pytest.fixture
def tokens(made):
    return made[1]


def logits(model, tokens):
    with torch.no_grad():
        return model(*(torch.from_numpy(array) for array in collate(tokens)[:3]))[:, 0]


def silence(model, layer, head=None, neuron=None):
    """Let a unit give nothing."""
    with torch.no_grad():
        if head is not None:
            encoder_layers(model.backbone)[layer].attention.output.dense.weight[:, head * 16 : head * 16 + 16] = 0
        if neuron is not None:
            encoder_layers(model.backbone)[layer].output.dense.weight[:, neuron] = 0


def test_what_is_removed_computes_as_if_it_gave_nothing(model, tokens):
    kept = [KeptLayer(n, np.arange(4)[np.arange(4) != n], np.arange(256)[np.arange(256) != 7 * n]) for n in range(3)]
    for layer in range(3):
        silence(model, layer, head=layer, neuron=7 * layer)
    wanted = logits(model, tokens)
    prune(model.backbone, kept)
    torch.testing.assert_close(logits(model, tokens), wanted, atol=1e-5, rtol=0)


def test_a_pruned_backbone_is_built_from_its_configuration(model, tokens, tmp_path):
    prune(model.backbone, [KeptLayer(0, np.array([1, 3]), np.arange(64)), KeptLayer(2, np.array([0]), np.arange(128))])
    model.backbone.config.save_pretrained(tmp_path)
    again = copy.deepcopy(model)
    again.backbone = build_backbone(read_architecture(tmp_path)).eval()
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(logits(again, tokens), logits(model, tokens))
    assert [layer.intermediate.dense.out_features for layer in encoder_layers(again.backbone)] == [64, 128]


def test_importance_is_the_slope_of_the_loss(model, tokens):
    heads, neurons = taylor(model, tokens.take([0]), TARGETS[:1], 0)
    step = 1e-3

    def loss():
        target = torch.from_numpy(TARGETS[:1])
        return float(functional.binary_cross_entropy_with_logits(logits(model, tokens.take([0])), target))

    before = loss()
    dense = encoder_layers(model.backbone)[1].attention.output.dense.weight
    with torch.no_grad():
        dense[:, 32:48] *= 1 - step
    assert heads[1][2] == pytest.approx(abs(loss() - before) / step, rel=0.05)
    with torch.no_grad():
        dense[:, 32:48] /= 1 - step
        encoder_layers(model.backbone)[2].output.dense.weight[:, 5] *= 1 - 10 * step
    assert neurons[2][5] == pytest.approx(abs(loss() - before) / (10 * step), rel=0.05, abs=1e-5)


def test_a_unit_that_gives_nothing_is_worth_nothing(model, tokens):
    silence(model, 1, head=2, neuron=9)
    heads, neurons = taylor(model, tokens, TARGETS, 0)
    assert heads[1][2] == neurons[1][9] == 0
    assert (np.delete(heads[1], 2) > 0).all()


def test_magnitude_is_the_norm_of_what_reads_a_unit(model):
    heads, neurons = magnitude(model)
    dense = encoder_layers(model.backbone)[1]
    weights = dense.attention.output.dense.weight.detach().numpy()
    assert heads[1][2] == pytest.approx(np.linalg.norm(weights[:, 32:48]), rel=1e-5)
    assert neurons[1][9] == pytest.approx(np.linalg.norm(dense.output.dense.weight.detach().numpy()[:, 9]), rel=1e-5)


def test_wanda_weighs_weights_by_what_they_read_padding_apart(model, tokens):
    heads, neurons = wanda(model, tokens, 0)
    read = []
    dense = encoder_layers(model.backbone)[0].output.dense
    handle = dense.register_forward_pre_hook(lambda _, given: read.append(given[0][0].detach().numpy()))
    for row in range(len(tokens)):
        logits(model, tokens.take([row]))
    handle.remove()
    norms = np.linalg.norm(np.concatenate(read), axis=0)
    assert neurons[0] == pytest.approx(np.abs(dense.weight.detach().numpy()).sum(0) * norms, rel=1e-4)
    assert [len(worth) for worth in heads] == [4, 4, 4]


@pytest.mark.parametrize("importance", ["magnitude", "wanda"])
def test_units_may_be_compared_otherwise(model, tokens, importance):
    for head in (0, 1, 3):
        silence(model, 0, head=head)
    config = PruneConfig(flops=0.5, importance=importance)
    prune_model(model, tokens, TARGETS, 0, target_of(model, config, 1.0))
    kept = encoder_layers(model.backbone)[0].attention.output.dense.weight
    assert (kept[:, :16] != 0).any()


def test_the_layer_that_does_nothing_goes_first(model, tokens):
    layer = encoder_layers(model.backbone)[1]
    with torch.no_grad():
        for dense in (layer.attention.output.dense, layer.output.dense):
            dense.weight.zero_()
            dense.bias.zero_()
    costs = layer_costs(model, tokens, 0, [0, 1, 2])
    assert min(costs, key=costs.__getitem__) == 1
    assert costs[1] < 1e-6 < min(costs[0], costs[2])
    wanted = logits(model, tokens)
    prune_model(model, tokens, TARGETS, 0, target_of(model, PruneConfig(layers=2), 1.0))
    assert len(encoder_layers(model.backbone)) == 2
    torch.testing.assert_close(logits(model, tokens), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("flops", [0.7, 0.4])
def test_a_share_of_the_multiplications_is_left(model, tokens, flops):
    whole = multiplications(model.backbone, 64)
    prune_model(model, tokens, TARGETS, 0, target_of(model, PruneConfig(flops=flops), 1.0))
    left = multiplications(model.backbone, 64) / whole
    assert flops - 0.1 < left <= flops
    widths = [layer.output.dense.in_features for layer in encoder_layers(model.backbone)]
    assert all(width % BLOCK == 0 and width > 0 for width in widths)


def test_what_is_worth_most_stays(model, tokens):
    for head in (0, 1, 3):
        silence(model, 0, head=head)
    prune_model(model, tokens, TARGETS, 0, target_of(model, PruneConfig(flops=0.5), 1.0))
    kept = encoder_layers(model.backbone)[0].attention.output.dense.weight
    assert kept.shape[1] >= 16 and (kept[:, :16] != 0).any()


def test_a_decoder_is_refused():
    config = BackboneConfig(name="scratch", family="gpt2", hidden_size=32, layers=1, attention_heads=2, vocab_size=200)
    backbone, _ = load_backbone(config, CORPUS, 32)
    with pytest.raises(ConfigError, match="gpt2 backbone has no layers"):
        encoder_layers(backbone)


def test_rounds_come_nearer(model):
    config = PruneConfig(layers=1, flops=0.2)
    whole = multiplications(model.backbone, 64)
    targets = [target_of(model, config, done) for done in (0.5, 1.0)]
    assert [target.layers for target in targets] == [2, 1]
    assert [target.multiplications / whole for target in targets] == pytest.approx([0.6, 0.2])


def test_multiplications_are_those_of_the_matrices(model):
    """Of four projections and two dense layers of each layer, and of the attention itself."""
    projections, dense, attention = 4 * 64 * 64, 2 * 64 * 256, 2 * 10 * 64
    assert multiplications(model.backbone, 10) == 3 * 10 * (projections + dense + attention)
