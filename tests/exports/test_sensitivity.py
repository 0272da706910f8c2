"""Quantizing layer by layer: what stays in float is exact, and the worst layer is found."""

import numpy as np
import pytest
import torch

from planogram.compress.export import to_openvino
from planogram.compress.quantize import single_batches, to_int8
from planogram.compress.sensitivity import layer_errors, least_smoothing_error, most_sensitive, outputs
from planogram.config import BackboneConfig, QuantizeConfig
from planogram.data.tokenizer import PairTokenizer
from planogram.models.backbone import load_backbone
from planogram.models.heads import CrossEncoder
from planogram.models.pruning import encoder_layers

CORPUS = ["red running shoes", "blue kettle with a lid", "a lamp", "green lamp shade"] * 3
PAIRS = [("red shoes", "blue running shoes"), ("kettle", "blue kettle with a lid"), ("lamp shade", "a lamp")] * 4
SMOOTHING = 0.5


@pytest.fixture(scope="module")
def made():
    """Three layers, of which the second has an outlier that eight bits cannot hold beside the rest."""
    torch.manual_seed(0)
    config = BackboneConfig(name="scratch", hidden_size=64, layers=3, attention_heads=4, vocab_size=200)
    backbone, tokenizer = load_backbone(config, CORPUS, 32)
    with torch.no_grad():
        for layer in encoder_layers(backbone):
            layer.attention.output.dense.weight *= 10
            layer.output.dense.weight *= 10
        encoder_layers(backbone)[1].output.dense.weight[:, ::2] *= 8
    model = CrossEncoder(backbone, ["relevance"], "pair", 0.0).eval()
    return to_openvino(model, 0), single_batches(PairTokenizer(tokenizer, 32).encode(PAIRS), 0)


def test_what_stays_in_float_loses_nothing(made):
    graph, batches = made
    same = to_int8(graph, batches, SMOOTHING, float_layers=[0, 1, 2], float_rest=True)
    np.testing.assert_allclose(outputs(same, batches), outputs(graph, batches), atol=1e-5)


def test_a_layer_in_float_loses_less(made):
    graph, batches = made
    errors = layer_errors(graph, batches, SMOOTHING, 3)
    assert list(errors) == [0, 1, 2] and all(error > 0 for error in errors.values())
    wanted = outputs(graph, batches)
    whole, mixed = (
        np.square(outputs(to_int8(graph, batches, SMOOTHING, float_layers=kept), batches) - wanted).mean()
        for kept in ([], most_sensitive(errors, 2))
    )
    assert mixed < whole


def test_the_most_sensitive_layers_rise():
    assert most_sensitive({0: 0.1, 1: 0.5, 2: 0.3}, 2) == [1, 2]
    assert most_sensitive({0: 0.1}, 3) == [0]


def test_the_smoothing_that_moves_outputs_least_is_chosen(made):
    graph, batches = made
    best, errors = least_smoothing_error(graph, batches, QuantizeConfig(smooth_quant=(0.1, 0.5, 0.9)))
    assert list(errors) == [0.1, 0.5, 0.9] and errors[best] == min(errors.values())
    wanted = outputs(graph, batches)
    moved = np.square(outputs(to_int8(graph, batches, best), batches) - wanted).mean()
    assert moved == pytest.approx(errors[best])


def test_one_smoothing_is_no_choice(made):
    graph, batches = made
    assert least_smoothing_error(graph, batches, QuantizeConfig(smooth_quant=(0.4,))) == (0.4, {})


def test_tower_and_heads_stay_in_float(made):
    graph, batches = made
    small = to_int8(graph, batches, SMOOTHING)
    heads = small.get_results()[0].input_value(0).get_node()
    assert heads.get_type_name() == "MatMul"
    assert all(value.get_node().get_type_name() != "FakeQuantize" for value in heads.input_values())
