"""Placed products as the results of an answer: what is shown of them, and what explains them."""

from collections.abc import Mapping, Sequence
from typing import Any

from planogram.serve.answers import Contribution, Explanation, Result, RuleEffect
from planogram.serve.blend import NEXT_ITEM
from planogram.serve.order import Arrangement, Placed
from planogram.serve.values import TokenWeight

# What a response tells of a product. `cost` is never among it.
SHOWN = ("brand", "category", "price", "list_price", "currency", "stock")
# With the price beside it, its value would tell what a product costs the shop.
CONFIDENTIAL = ("margin",)


def results(arrangement: Arrangement, explain: bool, tokens: Sequence[Sequence[TokenWeight]] = ()) -> list[Result]:
    """Placed products as results.

    Args:
        arrangement: in its order.
        explain: add explanations.
        tokens: weights of words of the first results.
    """
    weights = arrangement.blend.weights
    found = []
    for index, placed in enumerate(arrangement.placed):
        result = _result(placed, index + 1)
        if explain:
            words = list(tokens[index]) if index < len(tokens) else None
            result = result.model_copy(update={"explanation": _explanation(placed, weights, words)})
        found.append(result)
    return found


def _result(placed: Placed, position: int) -> Result:
    product = placed.product
    own = {name: product[name] for name in ("sentiment", NEXT_ITEM) if product.get(name) is not None}
    return Result(
        product_id=product["product_id"],
        title=product["title"],
        position=position,
        score=placed.score,
        signals=placed.heads | own,
        truncated=placed.truncated,
        **{name: product.get(name) for name in SHOWN},
    )


def _explanation(placed: Placed, weights: Mapping[str, float], tokens: list[TokenWeight] | None) -> Explanation:
    return Explanation(
        signals={name: _contribution(name, value, weights[name]) for name, value in placed.signals.items()},
        rules=[RuleEffect(name=note.name, effect=note.effect, contribution=note.contribution) for note in placed.notes],
        diversity_penalty=placed.penalty,
        tokens=tokens,
    )


def _contribution(name: str, value: float, weight: float) -> Contribution:
    known: dict[str, Any] = {"value": value, "weight": weight}
    if name in CONFIDENTIAL:
        known = dict.fromkeys(known)
    return Contribution(**known, contribution=value * weight)
