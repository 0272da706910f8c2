"""Results that are not all alike: maximal marginal relevance over words of titles, brands and categories."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

WORD = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
# A shared brand or category counts as much as so many shared words.
BRAND_WEIGHT = 2.0
CATEGORY_WEIGHT = 1.0
# What stands further down is not compared: similarities are of pairs, and their number grows with the square.
MIN_POOL = 100


def diversify(
    products: Sequence[Mapping[str, Any]], scores: Floats, weight: float, top_k: int
) -> tuple[Indices, Floats]:
    """Order products so that each is good and unlike those above it.

    The next one has the largest (1 - weight) * score - weight * (greatest similarity to those above), with scores
    brought to 0..1.

    Args:
        products: in falling order of score.
        scores: (products,).
        weight: 0: by score alone; 1: by difference alone.
        top_k: how many places are filled so; the rest keep their order.

    Returns:
        Positions of the products in their new order, and (products,) what was taken off each for its likeness.

    Source: Carbonell & Goldstein 1998, The Use of MMR, Diversity-Based Reranking for Reordering Documents.
    """
    count = len(products)
    penalties = np.zeros(count)
    if weight == 0 or count < 2:
        return np.arange(count), penalties
    pool = min(count, max(MIN_POOL, 2 * top_k))
    similar = similarities(products[:pool])
    gains = (1 - weight) * _unit(scores[:pool])
    nearest = np.zeros(pool)
    chosen: list[int] = []
    for _ in range(min(top_k, pool)):
        values = gains - weight * nearest
        values[chosen] = -np.inf
        best = int(np.argmax(values))
        penalties[best] = weight * nearest[best]
        chosen.append(best)
        nearest = np.maximum(nearest, similar[best])
    return np.concatenate([chosen, np.setdiff1d(np.arange(count), chosen)]).astype(np.intp), penalties


def similarities(products: Sequence[Mapping[str, Any]]) -> Floats:
    """(products, products) weighted Jaccard similarity, 0..1: what two have in common over what either has.

    Source: Ioffe 2010, Improved Consistent Sampling, Weighted Minhash and L1 Sketching, for the weighted form.
    """
    columns: dict[tuple[str, str], int] = {}
    weights: list[float] = []
    cells: list[tuple[int, int]] = []
    for row, product in enumerate(products):
        for feature, feature_weight in _features(product).items():
            if feature not in columns:
                columns[feature] = len(weights)
                weights.append(feature_weight)
            cells.append((row, columns[feature]))
    # Square roots, since a feature meets itself in the product.
    table = np.zeros((len(products), len(weights)), dtype=np.float32)
    rows, places = np.asarray(cells, dtype=np.intp).reshape(-1, 2).T
    table[rows, places] = np.sqrt(np.asarray(weights, dtype=np.float32))[places]
    common = (table @ table.T).astype(np.float64)
    sizes = common.diagonal()
    either = sizes[:, None] + sizes[None, :] - common
    return np.divide(common, either, out=np.zeros_like(common), where=either > 0)


def _features(product: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    found = {("word", word): 1.0 for word in WORD.findall(str(product.get("title") or "").lower())}
    for name, weight in (("brand", BRAND_WEIGHT), ("category", CATEGORY_WEIGHT)):
        if product.get(name):
            found[name, str(product[name])] = weight
    return found


def _unit(scores: Floats) -> Floats:
    spread = np.ptp(scores)
    return (scores - scores.min()) / spread if spread > 0 else np.zeros(len(scores))
