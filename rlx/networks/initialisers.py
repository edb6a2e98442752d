"""Weight initialisers under the names the papers use.

Each function is cached, so that two modules built with the same arguments compare equal.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rlx.types import Key

Initialiser = jax.nn.initializers.Initializer

zeros: Initialiser = jax.nn.initializers.zeros


@functools.cache
def orthogonal(scale: float) -> Initialiser:
    """Orthonormal rows or columns times ``scale`` (Saxe et al. 2014), of the kernel as ``[-1, features]``."""
    draw = jax.nn.initializers.orthogonal(scale)

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
        # One matrix after the other, also under vmap: a batched QR waits for the CPU threads that it itself occupies,
        # and with a member on each of two devices neither ever ends.
        return jax.custom_batching.sequential_vmap(lambda key: draw(key, shape, dtype, out_sharding))(key)

    return init


@functools.cache
def glorot_uniform() -> Initialiser:
    """Uniform in ``±sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010, eq. 16)."""
    return jax.nn.initializers.glorot_uniform()


@functools.cache
def fan_in_uniform() -> Initialiser:
    """Uniform in ``±1 / sqrt(fan_in)``, the default of PyTorch's linear and convolutional layers.

    For kernels: a bias initialiser sees only the bias's shape and not the layer's fan-in; a layer that draws its
    biases from the same interval, as PyTorch's do, has to say which (`symmetric_uniform`).
    """
    return jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@functools.cache
def symmetric_uniform(bound: float) -> Initialiser:
    """Uniform in ``±bound``."""

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
