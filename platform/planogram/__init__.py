"""Planogram: what a shopper sees first, in search, in recommendation, and at what price."""

__version__ = "0.1.0"
