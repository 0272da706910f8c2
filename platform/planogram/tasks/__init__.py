"""What the stages train: data, model and loss of every kind of model."""
