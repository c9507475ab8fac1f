"""Connectors: each carries a delivery into one kind of case system. See README.md; start from ``sdk.py``."""
