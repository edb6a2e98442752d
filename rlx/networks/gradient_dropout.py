"""Dropout of gradients alone: values pass as they are (Ishuov et al. 2025, Symphony-S2)."""

import jax
import jax.numpy as jnp

from rlx.types import Key


def gradient_dropout(x: jax.Array, key: Key, keep: float | jax.Array) -> jax.Array:
    """``M x + (1 - M) sg(x)`` with ``M ~ Bernoulli(keep)`` for each element, and nothing rescaled."""
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x, jax.lax.stop_gradient(x))
