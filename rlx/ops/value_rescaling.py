"""A signed square root of values, which brings returns of different sizes closer (Pohlen et al. 2018, section 3.1).

``h(x) = sign(x) (sqrt(|x| + 1) - 1) + slope x``; a Q-learner with it learns ``h(Q)`` towards
``h(reward + discount h^-1(next h(Q)))``. As ``h`` rises everywhere, the best action stays the best.
"""

import jax
import jax.numpy as jnp

_SLOPE = 1e-3


def rescale(value: jax.Array) -> jax.Array:
    """``h``, elementwise."""
    return jnp.sign(value) * (jnp.sqrt(jnp.abs(value) + 1.0) - 1.0) + _SLOPE * value


def restore(rescaled: jax.Array) -> jax.Array:
    """``h^-1``, elementwise (proposition A.2)."""
    size = jnp.abs(rescaled)
    # With s = sqrt(|x| + 1), size = s - 1 + slope (s^2 - 1); in this form of its root nothing cancels near zero.
    root_less_one = 2.0 * size / (1.0 + 2.0 * _SLOPE + jnp.sqrt((1.0 + 2.0 * _SLOPE) ** 2 + 4.0 * _SLOPE * size))
    return jnp.sign(rescaled) * root_less_one * (root_less_one + 2.0)
