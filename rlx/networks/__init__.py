"""Flax modules and functions that agents build their networks from."""
