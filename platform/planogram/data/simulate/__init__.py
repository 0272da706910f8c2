"""A simulated shop whose truth is known: catalogue, shoppers' tastes, biased clicks, prices and reviews."""

from planogram.data.simulate.write import simulate

__all__ = ["simulate"]
