"""Engines run a bundle: tokenize, infer, finish."""
