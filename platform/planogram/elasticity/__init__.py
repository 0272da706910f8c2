"""How much less is bought when a price rises: classical estimates, and what each of them is confounded by."""
