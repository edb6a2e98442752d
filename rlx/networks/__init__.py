"""Flax modules and functions that agents build their networks from."""

from rlx import types  # noqa: F401  # it makes JAX's settings, before the first array
