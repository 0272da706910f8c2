"""Other servers of the same model: their environments, and the model as they read it."""
