"""The training loop that all stages share, and where it runs."""
