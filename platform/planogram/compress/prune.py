"""Which heads, neurons and layers go, until a share of the backbone's multiplications is left."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planogram.compress.importance import layer_costs, magnitude, taylor, wanda
from planogram.config import Importance, PruneConfig
from planogram.data.tokenizer import Tokens
from planogram.models.heads import CrossEncoder
from planogram.models.pruning import KeptLayer, encoder_layers, head_size, multiplications, prune, unit_costs

# Engines multiply blocks of so many columns; other widths would be padded to the next.
BLOCK = 64
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """What a pruned model may have.

    Attributes:
        layers: at most.
        multiplications: of its layers, for one text, at most; but each layer keeps a head and a block of neurons.
        tokens: of that text.
        importance: by which units are compared.
    """

    layers: int
    multiplications: float
    tokens: int
    importance: Importance = "taylor"


def target_of(model: CrossEncoder, config: PruneConfig, done: float) -> Target:
    """What a whole model may keep when a share of the pruning is done, 0..1."""
    layers = len(encoder_layers(model.backbone))
    left = round(layers - (layers - min(config.layers or layers, layers)) * done)
    share = 1 - (1 - config.flops) * done
    return Target(left, share * multiplications(model.backbone, config.tokens), config.tokens, config.importance)


def prune_model(
    model: CrossEncoder, tokens: Tokens, targets: npt.NDArray[np.float32], pad_id: int, target: Target
) -> None:
    """Remove layers, then heads and neurons, in place.

    Args:
        model: float32, on the CPU.
        tokens: training pairs, by which importance is measured.
        targets: (pairs,) of the first head, 0..1.
        pad_id: of its tokenizer.
        target: what may stay.
    """
    _drop_layers(model, tokens, pad_id, target.layers)
    if target.importance == "magnitude":
        heads, neurons = magnitude(model)
    elif target.importance == "wanda":
        heads, neurons = wanda(model, tokens, pad_id)
    else:
        heads, neurons = taylor(model, tokens, targets, pad_id)
    prune(model.backbone, _chosen(heads, neurons, unit_costs(model.backbone, target.tokens), target.multiplications))


def _drop_layers(model: CrossEncoder, tokens: Tokens, pad_id: int, count: int) -> None:
    """Leave out layer after layer, each time the one without which scores move least."""
    layers, size = encoder_layers(model.backbone), head_size(model.backbone)
    kept = list(range(len(layers)))
    while len(kept) > count:
        costs = layer_costs(model, tokens, pad_id, kept)
        kept.remove(min(costs, key=costs.__getitem__))
    whole = [
        (np.arange(layer.attention.output.dense.in_features // size), np.arange(layer.output.dense.in_features))
        for layer in layers
    ]
    prune(model.backbone, [KeptLayer(number, *whole[number]) for number in kept])


def _chosen(
    heads: Sequence[Floats], neurons: Sequence[Floats], costs: tuple[float, float], budget: float
) -> list[KeptLayer]:
    """The units that are worth most per multiplication, within the budget; of each layer at least one head and block.

    Neurons go in blocks: those of a layer stand in the order of their worth, and a block is worth what its neurons are.
    """
    ranked = [np.argsort(-worth, kind="stable") for worth in neurons]
    units: list[tuple[float, int, int, float]] = []  # worth per cost, kind (0: head, 1: block), layer, cost
    first = 0.0
    for layer, (head_worth, worth) in enumerate(zip(heads, neurons, strict=True)):
        best = np.sort(head_worth)[::-1]
        blocks = [worth[ranked[layer][start : start + BLOCK]] for start in range(0, len(worth), BLOCK)]
        first += costs[0] + len(blocks[0]) * costs[1]
        units += [(value / costs[0], 0, layer, costs[0]) for value in best[1:]]
        units += [(block.sum() / (len(block) * costs[1]), 1, layer, len(block) * costs[1]) for block in blocks[1:]]
    counts = np.ones((2, len(heads)), dtype=np.int64)
    left = budget - first
    # Within a layer worth falls, so that what is taken is always its best.
    for _, kind, layer, cost in sorted(units, key=lambda unit: -unit[0]):
        if cost <= left:
            counts[kind, layer] += 1
            left -= cost
    return [
        KeptLayer(
            layer,
            np.sort(np.argsort(-heads[layer], kind="stable")[: counts[0, layer]]),
            np.sort(ranked[layer][: counts[1, layer] * BLOCK]),
        )
        for layer in range(len(heads))
    ]
