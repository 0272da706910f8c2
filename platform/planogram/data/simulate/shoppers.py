"""Who shops: hidden tastes, sensitivity to price, and what they come for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import TASTE_SIZE, Catalogue, Floats, Ints


@dataclass(frozen=True)
class Shoppers:
    """Hidden facts of the shoppers, who lie along the first axis.

    Attributes:
        taste: (shoppers, TASTE_SIZE) float32, standard normal: the dot product with a product's taste, of norm 1, is
            standard normal.
        sensitivity: (shoppers,) positive, median 1: how much a high price puts them off clicking.
        category_share: (shoppers, categories) what they come for, rows adding up to one.
        activity: (shoppers,) shares of all sessions, adding up to one.
    """

    taste: NDArray[np.float32]
    sensitivity: Floats
    category_share: Floats
    activity: Floats

    def __len__(self) -> int:
        return len(self.activity)

    @cached_property
    def ids(self) -> pa.StringArray:
        """(shoppers,) user_id."""
        return pa.array([f"u{number:07d}" for number in range(len(self))])


def make_shoppers(size: int, num_categories: int, rng: np.random.Generator) -> Shoppers:
    """Draw `size` shoppers: each cares for a few categories, and few make much of the traffic."""
    weight = np.exp(rng.standard_normal(size))
    return Shoppers(
        taste=rng.standard_normal((size, TASTE_SIZE), dtype=np.float32),
        sensitivity=np.exp(0.4 * rng.standard_normal(size)),
        category_share=rng.dirichlet(np.full(num_categories, 0.5), size),
        activity=weight / weight.sum(),
    )


def taste_for(shoppers: Shoppers, catalogue: Catalogue, users: Ints, products: Ints) -> Floats:
    """How much shoppers like products, all else being equal.

    Args:
        shoppers: who.
        catalogue: what.
        users: numbers of shoppers, of any shape.
        products: numbers of products, of that shape and one more axis.

    Returns:
        Of the shape of `products`, standard normal over shoppers.
    """
    dots = np.einsum("...d,...kd->...k", shoppers.taste[users], catalogue.taste[products])
    return dots.astype(np.float64)


class Interests:
    """Draws, for a shopper, one of many things that belong to categories (queries, products).

    The category comes from the shopper's shares among the categories that have any thing, the thing from its weight.
    """

    def __init__(self, shoppers: Shoppers, categories: Ints, weights: Floats) -> None:
        """Prepare the tables; `categories` and `weights` are those of the things."""
        order = np.argsort(categories, kind="stable")
        num_categories = shoppers.category_share.shape[1]
        self._order = order
        self._mass = np.concatenate([[0.0], weights[order].cumsum()])
        bounds = np.searchsorted(categories[order], np.arange(num_categories + 1))
        self._lower, self._upper = self._mass[bounds[:-1]], self._mass[bounds[1:]]
        # The small constant keeps every row positive where a shopper cares for empty categories only.
        share = (shoppers.category_share + 1e-9) * (np.diff(bounds) > 0)
        self._cumulative = (share / share.sum(axis=1, keepdims=True)).cumsum(axis=1)
        self._last = int(np.flatnonzero(np.diff(bounds))[-1])

    def draw(self, users: Ints, rng: np.random.Generator) -> Ints:
        """One thing for each of the shoppers `users`, as numbers of the same shape (one axis)."""
        category = (rng.random(len(users))[:, None] > self._cumulative[users]).sum(axis=1)
        category = np.minimum(category, self._last)
        lower, upper = self._lower[category], self._upper[category]
        place = np.searchsorted(self._mass, lower + rng.random(len(users)) * (upper - lower), side="right") - 1
        return self._order[np.clip(place, 0, len(self._order) - 1)]


def draw_users(shoppers: Shoppers, size: int, rng: np.random.Generator) -> Ints:
    """Numbers of `size` visitors, by their activity."""
    cumulative = shoppers.activity.cumsum()
    return np.minimum(np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right"), len(shoppers) - 1)
