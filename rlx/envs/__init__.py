"""Environments: one API over every family, and the pure functions that step many in parallel."""

from rlx import types  # noqa: F401  # it makes JAX's settings, before Gymnax makes the first array
