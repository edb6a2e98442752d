"""Weight initialisers under the names the papers use.

Each function is cached, so that two modules built with the same arguments compare equal.
"""

import functools
import math
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
def orthogonal_by_reflections() -> Initialiser:
    """As ``orthogonal(1.0)``, for use in the middle of training: a product of random reflections (Stewart 1980).

    Without LAPACK, whose threads wait for each other on CPU: on a busy machine a QR of 128 x 128 in a compiled program
    took 25 to 350 ms, this takes 1. Batches are drawn side by side.
    """

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
        inputs, outputs = math.prod(shape[:-1]), shape[-1]
        rows, columns = max(inputs, outputs), min(inputs, outputs)
        normals = jax.random.normal(key, (columns, rows), dtype)

        def reflect(number: jax.Array, matrix: jax.Array) -> jax.Array:
            k = columns - 1 - number
            v = jnp.where(jnp.arange(rows) >= k, normals[k], 0.0)
            length = jnp.linalg.norm(v)
            sign = jnp.where(v[k] < 0.0, -1.0, 1.0)
            v = v.at[k].add(sign * length)
            # The reflection takes the normal vector to -sign times its length on axis k.
            matrix = matrix - 2.0 * jnp.outer(v, v @ matrix) / (v @ v)
            return matrix.at[:, k].multiply(-sign)

        matrix = jax.lax.fori_loop(0, columns, reflect, jnp.eye(rows, columns, dtype=dtype))
        return (matrix if inputs >= outputs else matrix.T).reshape(shape)

    return init


@functools.cache
def glorot_uniform() -> Initialiser:
    """Uniform in ``±sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010, eq. 16)."""
    return jax.nn.initializers.glorot_uniform()


@functools.cache
def lecun_normal() -> Initialiser:
    """Truncated normal of variance ``1 / fan_in`` (LeCun et al. 1998)."""
    return jax.nn.initializers.lecun_normal()


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
