"""What heads, neurons and layers of a cross-encoder are worth to its loss."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from planogram.data.collate import collate, token_batches
from planogram.data.tokenizer import Tokens
from planogram.models.heads import CrossEncoder
from planogram.models.pruning import encoder_layers, head_size

BATCH_TOKENS = 2048
Floats = npt.NDArray[np.float64]


def taylor(
    model: CrossEncoder, tokens: Tokens, targets: npt.NDArray[np.float32], pad_id: int
) -> tuple[list[Floats], list[Floats]]:
    """First-order importance: the mean over pairs of |sum of activation * gradient| of each unit.

    It is how much the loss would change, to first order, if the unit gave zero.

    Args:
        model: in float32.
        tokens: pairs.
        targets: (pairs,) of the first head, 0..1.
        pad_id: of its tokenizer.

    Returns:
        Per layer, (heads,) and (neurons,).

    Source: Molchanov et al. 2019, Importance Estimation for Neural Network Pruning; Michel et al. 2019 for heads.
    """
    size = head_size(model.backbone)
    layers = encoder_layers(model.backbone)
    heads = [np.zeros(layer.attention.output.dense.in_features // size) for layer in layers]
    neurons = [np.zeros(layer.output.dense.in_features) for layer in layers]
    model.eval()
    with _inputs_of([d for layer in layers for d in (layer.attention.output.dense, layer.output.dense)]) as seen:
        for rows in token_batches(tokens.lengths, BATCH_TOKENS):
            _backward(model, tokens.take(rows), targets[rows], pad_id)
            for number in range(len(layers)):
                attended, active = (_products(seen[2 * number + place]) for place in (0, 1))
                heads[number] += attended.reshape(len(rows), -1, size).sum(-1).abs().sum(0).numpy()
                neurons[number] += active.abs().sum(0).numpy()
    return [total / len(tokens) for total in heads], [total / len(tokens) for total in neurons]


def magnitude(model: CrossEncoder) -> tuple[list[Floats], list[Floats]]:
    """The Euclidean norm of the weights that read each unit: needs no data, and knows nothing of it.

    Returns:
        Per layer, (heads,) and (neurons,).

    Source: Han et al. 2015, Learning both Weights and Connections.
    """
    size = head_size(model.backbone)
    heads, neurons = [], []
    for layer in encoder_layers(model.backbone):
        columns = _squares(layer.attention.output.dense)
        heads.append(np.sqrt(columns.reshape(-1, size).sum(1)))
        neurons.append(np.sqrt(_squares(layer.output.dense)))
    return heads, neurons


def wanda(model: CrossEncoder, tokens: Tokens, pad_id: int) -> tuple[list[Floats], list[Floats]]:
    """Sum of |weight| * norm of the activation that it reads, over the weights that read each unit.

    Args:
        model: in float32.
        tokens: pairs.
        pad_id: of its tokenizer.

    Returns:
        Per layer, (heads,) and (neurons,).

    Source: Sun et al. 2024, A Simple and Effective Pruning Approach for Large Language Models.
    """
    size = head_size(model.backbone)
    layers = encoder_layers(model.backbone)
    dense = [d for layer in layers for d in (layer.attention.output.dense, layer.output.dense)]
    norms = [np.zeros(module.in_features) for module in dense]
    model.eval()
    with torch.no_grad(), _inputs_of(dense) as seen:
        for rows in token_batches(tokens.lengths, BATCH_TOKENS):
            batch = collate(tokens.take(rows), pad_id)
            model(*(None if array is None else torch.from_numpy(array) for array in batch))
            present = torch.from_numpy(batch.attention_mask)[..., None]
            for place, inputs in enumerate(seen):
                norms[place] += (inputs * present).square().sum((0, 1)).numpy()
    worth = [
        module.weight.detach().abs().sum(0).numpy() * np.sqrt(norm) for module, norm in zip(dense, norms, strict=True)
    ]
    return [heads.reshape(-1, size).sum(1) for heads in worth[::2]], worth[1::2]


def _squares(dense: nn.Linear) -> Floats:
    """(inputs,) sum of the squared weights that read each."""
    return dense.weight.detach().double().square().sum(0).numpy()


def _products(inputs: Tensor) -> Tensor:
    """(pairs, units) activation * gradient, summed over tokens."""
    assert inputs.grad is not None
    return (inputs.detach() * inputs.grad).sum(1)


def _backward(model: CrossEncoder, tokens: Tokens, targets: npt.NDArray[np.float32], pad_id: int) -> None:
    logits = model(*(None if array is None else torch.from_numpy(array) for array in collate(tokens, pad_id)))[:, 0]
    # The sum: a pair's gradient does not depend on how many others share its batch.
    functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets), reduction="sum").backward()
    model.zero_grad(set_to_none=True)


@contextmanager
def _inputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """What went into each module last, with its gradient after a backward pass."""
    seen: list[Any] = [None] * len(modules)

    def hook(place: int) -> Any:
        def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            if given[0].requires_grad:
                given[0].retain_grad()
            seen[place] = given[0]

        return keep

    handles = [module.register_forward_pre_hook(hook(place)) for place, module in enumerate(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def layer_costs(model: CrossEncoder, tokens: Tokens, pad_id: int, kept: Sequence[int]) -> dict[int, float]:
    """How far the scores move when one more layer is left out: layer -> mean squared change of the logits.

    Args:
        model: the whole one.
        tokens: pairs.
        pad_id: of its tokenizer.
        kept: the layers that are still there; the change is against the whole model.
    """
    layers = model.backbone.encoder.layer
    wanted = _logits(model, tokens, pad_id)
    found = {}
    try:
        for left_out in kept:
            model.backbone.encoder.layer = nn.ModuleList([layers[n] for n in kept if n != left_out])
            found[left_out] = float((_logits(model, tokens, pad_id) - wanted).square().mean())
    finally:
        model.backbone.encoder.layer = layers
    return found


def _logits(model: CrossEncoder, tokens: Tokens, pad_id: int) -> Tensor:
    outputs = torch.zeros(len(tokens), len(model.head_names))
    for rows in token_batches(tokens.lengths, BATCH_TOKENS):
        batch = collate(tokens.take(rows), pad_id)
        outputs[rows] = model(*(None if array is None else torch.from_numpy(array) for array in batch))
    return outputs
