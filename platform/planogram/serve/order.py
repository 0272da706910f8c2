"""From candidates to places: blend, boost and bury, diversity, pins, in this order. Hiding comes before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.serve.blend import RETRIEVED, Blend, signals_of
from planogram.serve.diversity import diversify
from planogram.serve.rules import ActiveRules, RuleNote, place_pins
from planogram.serve.values import Scored

Floats = npt.NDArray[np.float64]
Product = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """A product at its place.

    Attributes:
        score: None where the ranker should have answered and did not.
        heads: the ranker's scores; empty without them.
        truncated: the product's text was cut to the model's length.
        signals: signal -> value, of those that the blend weighs.
        penalty: what its likeness to those above took off, in units of the spread of scores.
    """

    product: Product
    score: float | None
    heads: dict[str, float]
    truncated: bool
    signals: dict[str, float]
    notes: list[RuleNote] = field(default_factory=list)
    penalty: float = 0.0


@dataclass(frozen=True)
class Arrangement:
    """Products in their order.

    Attributes:
        blend: that ordered them: the retriever's order where the ranker should have answered and did not.
    """

    blend: Blend
    placed: list[Placed]


def arrange(
    products: Sequence[Product],
    scored: Scored | None,
    blend: Blend,
    rules: ActiveRules,
    diversity: float,
    top_k: int,
) -> Arrangement:
    """The best products at their places, at most `top_k`.

    Args:
        products: that may be shown, in the retriever's order; ties keep it.
        scored: by the ranker; None where it did not answer or was not asked.
        blend: weights of the route.
        rules: that hold for the request.
        diversity: 0..1.
        top_k: results.
    """
    signals = signals_of(products, scored)
    known = not (blend.weights.keys() - signals.keys())
    blend = blend if known else RETRIEVED
    scores = blend.scores(signals)
    notes = [rules.boost(product, float(scores[index])) for index, product in enumerate(products)]
    scores = scores + [sum(note.contribution for note in boosts) for boosts in notes]
    order, penalties = _spread(products, scores, rules, notes, diversity, top_k)
    order = _pin(products, order, rules, notes)[:top_k]
    return Arrangement(
        blend,
        [
            Placed(
                product=products[index],
                score=float(scores[index]) if known else None,
                heads=_heads(scored, index),
                truncated=scored.truncated[index] if scored else False,
                signals={name: float(signals[name][index]) for name in blend.weights},
                notes=notes[index],
                penalty=float(penalties[index]),
            )
            for index in order
        ],
    )


def _spread(
    products: Sequence[Product],
    scores: Floats,
    rules: ActiveRules,
    notes: list[list[RuleNote]],
    diversity: float,
    top_k: int,
) -> tuple[list[int], Floats]:
    """Buried products stand after all others; diversity orders each of the two parts."""
    buried = [rules.bury(product) for product in products]
    for index, found in enumerate(buried):
        notes[index].extend(found)
    ranked = np.argsort(-scores, kind="stable")
    low = np.asarray([bool(buried[index]) for index in ranked], dtype=bool)
    penalties = np.zeros(len(products))
    order: list[int] = []
    for part in (ranked[~low], ranked[low]):
        places, taken_off = diversify([products[index] for index in part], scores[part], diversity, top_k)
        penalties[part] = taken_off
        order.extend(part[places].tolist())
    return order, penalties


def _pin(
    products: Sequence[Product], order: Sequence[int], rules: ActiveRules, notes: list[list[RuleNote]]
) -> list[int]:
    numbers = {str(product["product_id"]): index for index, product in enumerate(products)}
    pinned: dict[int, int] = {}
    for product_id, (pin, rule) in rules.pins().items():
        if product_id in numbers:
            pinned[numbers[product_id]] = pin.position
            notes[numbers[product_id]].append(RuleNote(rule.name, "pin"))
    return place_pins(order, pinned)


def _heads(scored: Scored | None, index: int) -> dict[str, float]:
    if scored is None:
        return {}
    return {head: float(scored.values[index, column]) for column, head in enumerate(scored.model.heads)}
