"""The gate of promotion: rules that a bundle has to pass before an alias may point to it."""
