"""Bundles and the registry of their names, versions and aliases."""
