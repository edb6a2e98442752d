"""Pure maths of reinforcement learning, one subject a file."""

from rlx import types  # noqa: F401  # it makes JAX's settings, before the first array
