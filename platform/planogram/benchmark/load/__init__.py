"""A load generator in a process of its own: its requests, its clients, and what they saw."""
