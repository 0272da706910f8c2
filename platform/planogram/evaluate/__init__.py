"""How good a ranking is: metrics, offline scoring and reports."""
