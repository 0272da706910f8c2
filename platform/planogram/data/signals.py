"""What a shop's tables say of a product beside its text: the same for the fitting of weights and for serving."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

# Reviews of the shop's mean that stand beside those of a product.
SHRINKAGE = 5.0
#: labels of reviews as they come -> whether the product is praised
LABELS = {"positive": 1.0, "recommended": 1.0, "1": 1.0, "negative": 0.0, "not_recommended": 0.0, "0": 0.0}
# A purchase says more than a cart, and a cart more than a click.
EVENT_WEIGHTS = {"click": 1.0, "cart": 3.0, "purchase": 10.0, "rating": 3.0}
# Margins are told in steps: a score that knew them exactly would give away what a product costs the shop.
MARGIN_STEP = 0.1


def review_sentiment(reviews: pd.DataFrame) -> "pd.Series[float]":
    """How well a product is spoken of: the mean of its reviews, drawn towards the mean of the shop.

    Args:
        reviews: the table; labels count where there are any, else ratings on the scale that occurs.

    Returns:
        product_id -> 0..1, for products with a review.

    Source: the posterior mean under a beta prior (Efron & Morris 1977, Stein's Paradox in Statistics, for shrinkage).
    """
    labelled = reviews["label"].notna().any()
    values = reviews["label"].map(LABELS) if labelled else _scaled(reviews["rating"])
    rows = pd.DataFrame({"product_id": reviews["product_id"], "value": values}).dropna()
    groups = rows.groupby("product_id")["value"]
    return (groups.sum() + SHRINKAGE * rows["value"].mean()) / (groups.size() + SHRINKAGE)


def _scaled(ratings: "pd.Series[float]") -> "pd.Series[float]":
    low, high = ratings.min(), ratings.max()
    return (ratings - low) / (high - low) if high > low else ratings * np.nan


def popularity(interactions: pd.DataFrame) -> "pd.Series[float]":
    """How much shoppers click and take a product, on a logarithmic scale.

    Args:
        interactions: the table.

    Returns:
        product_id -> 0..1, for products with such an event; 1 is the most popular one.
    """
    weights = interactions["event_type"].map(EVENT_WEIGHTS)
    counts = weights.dropna().groupby(interactions["product_id"]).sum()
    scaled = np.log1p(counts)
    return scaled / scaled.max()


def margin(product: Mapping[Any, Any]) -> float:
    """(price - cost) / price in 0..1, in steps of `MARGIN_STEP`; 0 where price or cost is not known."""
    price, cost = product.get("price"), product.get("cost")
    if price is None or cost is None or not price > 0 or math.isnan(cost):
        return 0.0
    return round(min(max((price - cost) / price, 0.0), 1.0) / MARGIN_STEP) * MARGIN_STEP


def in_stock(product: Mapping[Any, Any]) -> float:
    """0 where the product is known to be out of stock, else 1."""
    stock = product.get("stock")
    return 0.0 if stock is not None and stock <= 0 else 1.0


def sentiment_of(product: Mapping[Any, Any]) -> float:
    """The product's `sentiment`, and the middle where the shop knows of no review."""
    value = product.get("sentiment")
    return 0.5 if value is None or math.isnan(value) else float(value)


def popularity_of(product: Mapping[Any, Any]) -> float:
    """The product's `popularity`, 0 where nobody took it."""
    value = product.get("popularity")
    return 0.0 if value is None or math.isnan(value) else float(value)


#: signals that a product itself has, each 0..1
PRODUCT_SIGNALS = {"sentiment": sentiment_of, "margin": margin, "stock": in_stock, "popularity": popularity_of}
