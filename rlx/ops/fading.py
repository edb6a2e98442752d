"""Weights that fade smoothly, and values weighed by their order (Ishuov et al. 2025, tables I and II)."""

import math

import jax
import jax.numpy as jnp
import numpy as np


def fading(share: np.ndarray) -> np.ndarray:
    """``tanh((pi x)^e)`` of shares ``x`` in [0, 1], float64: 0 at 0, half at 0.26, above 0.99 from 0.46 on."""
    return np.tanh((np.pi * np.asarray(share, np.float64)) ** math.e)


def order_weights(size: int) -> np.ndarray:
    """Weights of ``size`` values from the least to the largest, which fades; their sum is 1, float64 ``[size]``."""
    weights = fading(1.0 - np.arange(size) / size)
    return weights / weights.sum()


def age_weights(size: int) -> np.ndarray:
    """Weights of ``size`` entries from the oldest, which has none, to the newest; float64 ``[size]``."""
    return fading(np.arange(size) / size)


def weighed_by_order(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """``sum_j w_j v_(j)`` of the values sorted from the least on, ``[..., K]`` to ``[...]``.

    The gradient reaches each value with the weight of its place.
    """
    return jnp.sort(values, axis=-1) @ jnp.asarray(weights, values.dtype)
