"""Scores of whole catalogues, written in parts."""
