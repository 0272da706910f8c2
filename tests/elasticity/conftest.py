"""A shop's demand whose truth is known, and whose prices follow it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

TRUTH = -2.0


@dataclass
class Confounded:
    """Products of different price levels, in weather and weeks of different demand, which raise and lower prices.

    log units = level - 2 log price + weather + week + promotion + noise, and all but the noise moves the price too:
    dear products sell much, prices rise in weather that sells, which is neither cold nor hot, and fall in a promotion
    that itself sells. A straight line of the warmth tells nothing of the weather.
    """

    seed: int = 0
    products: int = 40
    weeks: int = 60
    noise: float = 0.3

    def frame(self) -> pd.DataFrame:
        draw = np.random.default_rng(self.seed)
        product, week = (part.ravel() for part in np.indices((self.products, self.weeks)))
        level = draw.normal(0, 1, self.products)[product]
        warmth = draw.normal(0, 1, len(product))
        weather = np.cos(2 * warmth) + np.sin(2 * np.pi * week / 13)
        promoted = (draw.random(len(product)) < 0.2).astype(float)
        shock = draw.normal(0, 0.3, len(product))
        log_price = level + 0.3 * weather - 0.25 * promoted + shock
        log_units = 4 + 2.5 * level + TRUTH * log_price + 0.8 * weather + 0.6 * promoted
        log_units += draw.normal(0, self.noise, len(product))
        return pd.DataFrame(
            {
                "product_id": [f"p{number}" for number in product],
                "log_price": log_price,
                "price": np.exp(log_price),
                "period": week,
                "store": "",
                "choice_set": np.arange(len(product)),
                "promoted": promoted,
                "warmth": warmth,
                "log_units": log_units,
                "units": np.exp(log_units),
            }
        )


@pytest.fixture(scope="session")
def confounded() -> pd.DataFrame:
    return Confounded().frame()
