"""How indices are drawn from a ring: with replacement, in O(batch), whatever the ring's size.

Every function returns ``(offset, env)``, both int32 ``[batch_size]``: rows counted from the oldest one,
which has offset 0, and environments within them, all equally likely. ``size`` is the number of rows to choose
from, at least 1 and possibly traced; for n-step windows it is the number of valid starts.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlx.types import Key


def uniform(key: Key, size: int | jax.Array, num_envs: int, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Draw from all rows alike."""
    row_bits, env_bits = jax.random.bits(key, (2, batch_size), jnp.uint32)
    return _below(row_bits, size), _below(env_bits, num_envs)


def newest(
    key: Key, size: int | jax.Array, num_envs: int, batch_size: int, window: int | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Draw from the newest ``window`` rows alike, or from all while there are fewer."""
    window = jnp.minimum(window, size)
    offset, env = uniform(key, window, num_envs, batch_size)
    return size - window + offset, env


def by_age(
    key: Key,
    size: int | jax.Array,
    num_envs: int,
    batch_size: int,
    inverse_cdf: Callable[[jax.Array], jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Draw rows by their age.

    Args:
        key: key of this draw.
        size: rows to choose from; beyond 2^23 float32 cannot reach every one of them.
        num_envs: environments in a row.
        batch_size: draws.
        inverse_cdf: maps uniform float32 ``[batch_size]`` in [0, 1) to ages in [0, 1], 0 for the newest row
            and 1 for the oldest; the identity draws from all rows alike.
    """
    age_key, env_key = jax.random.split(key)
    age = jnp.floor(inverse_cdf(jax.random.uniform(age_key, (batch_size,))) * size).astype(jnp.int32)
    env = _below(jax.random.bits(env_key, (batch_size,), jnp.uint32), num_envs)
    return size - 1 - jnp.clip(age, 0, size - 1), env


def inverse_cdf_of(weights: np.ndarray) -> Callable[[jax.Array], jax.Array]:
    """Return the inverse CDF for ``by_age`` under which row ``i`` is drawn in proportion to ``weights[i]``.

    The draws are float32, multiples of 2^-23: a row whose probability is near that gets it only on average
    with its neighbours.

    Args:
        weights: of the rows, the oldest first, ``[size]``; not negative and not all 0. Over a replay of another
            size they are stretched.
    """
    # In float64, since a float32 sum over a million rows drifts.
    cumulative = np.cumsum(np.asarray(weights, np.float64)[::-1])
    cdf = (cumulative / cumulative[-1]).astype(np.float32)

    def inverse_cdf(uniform: jax.Array) -> jax.Array:
        # The middle of the row, so that rounding leads to no other one.
        return (jnp.searchsorted(cdf, uniform, side="right") + 0.5) / cdf.size

    return inverse_cdf


def _below(bits: jax.Array, bound: int | jax.Array) -> jax.Array:
    """Map uniform 32-bit words to int32 in ``[0, bound)`` as ``floor(bits * bound / 2^32)``.

    Probabilities differ by at most 2^-32 for any bound up to 2^31, at a seventh of the time of
    ``jax.random.randint``; a float32 draw would miss values from 2^23 on. Without 64-bit integers, the
    product is built from 16-bit halves.
    """
    bound = jnp.asarray(bound).astype(jnp.uint32)
    bits_high, bits_low = bits >> 16, bits & 0xFFFF
    bound_high, bound_low = bound >> 16, bound & 0xFFFF
    middle = bits_high * bound_low + (bits_low * bound_low >> 16)
    carry = bits_low * bound_high + (middle & 0xFFFF)
    return (bits_high * bound_high + (middle >> 16) + (carry >> 16)).astype(jnp.int32)
