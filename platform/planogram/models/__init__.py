"""Language models: backbone, heads and losses."""
