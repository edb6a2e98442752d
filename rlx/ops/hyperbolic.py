"""Losses of a hyperbolic tangent: square near 0, and like the absolute value far away (Ishuov et al. 2025, eq. 1, 2).

Elementwise; the caller takes means.
"""

import jax
import jax.numpy as jnp


def rehse(x: jax.Array) -> jax.Array:
    """``x tanh(x / 2)``, rectified Huber symmetric error: even, at least 0."""
    return x * jnp.tanh(0.5 * x)


def rehae(x: jax.Array) -> jax.Array:
    """``|x| tanh(x / 2)``, rectified Huber asymmetric error: odd, with a slope of 0 at 0 that is nowhere below 0."""
    return jnp.abs(x) * jnp.tanh(0.5 * x)
