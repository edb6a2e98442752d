"""Pseudo-random order without a sort: a Feistel network over index pairs."""

import math

import jax
import jax.numpy as jnp

from rlx.errors import ConfigurationError
from rlx.types import Key

_ROUNDS = 12  # even; with fewer, neighbouring positions stay visibly dependent when ``size`` is below a dozen


def shuffled_indices(key: Key, size: int, start: int | jax.Array, count: int) -> jax.Array:
    """Return positions ``start`` to ``start + count`` of a pseudo-random permutation of ``range(size)``.

    The permutation depends on ``key`` and ``size`` alone, so successive slices under one key are the
    minibatches of an epoch: disjoint, and together complete. The cost is O(``count``); nothing is sorted.

    An index is written as a pair of digits, to which keyed hashes of each other are added in turn: a
    generalised Feistel network, with cycle-walking where the pairs outnumber the indices (Black and Rogaway
    2002, "Ciphers with Arbitrary Finite Domains"). Good for minibatches, not for secrets.

    Args:
        key: PRNG key of the permutation.
        size: number of indices, in [1, 2**31).
        start: first position, which may be traced; ``start + count`` must not exceed ``size``.
        count: number of positions, in [0, ``size``].

    Returns:
        int32 [count], distinct indices in [0, ``size``).

    Raises:
        ConfigurationError: if ``size`` or ``count`` lies outside its range.
    """
    if not 1 <= size < 2**31:
        raise ConfigurationError(f"cannot shuffle {size} indices; size must lie in [1, 2**31)")
    if not 0 <= count <= size:
        raise ConfigurationError(f"cannot draw {count} of {size} shuffled indices; count must lie in [0, {size}]")
    high, low = _digits(size)
    round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    positions = jnp.asarray(start, jnp.uint32) + jnp.arange(count, dtype=jnp.uint32)
    indices = _permute(positions, round_keys, high, low)
    if high * low > size:
        indices = jax.lax.while_loop(
            lambda x: jnp.any(x >= size),
            lambda x: jnp.where(x >= size, _permute(x, round_keys, high, low), x),
            indices,
        )
    return indices.astype(jnp.int32)


def _digits(size: int) -> tuple[int, int]:
    """Ranges of the two digits, whose product is ``size`` or little more.

    Digits of like range mix best, so a factor below a quarter of the square root of ``size`` is not accepted.
    Where there is no other, the product exceeds ``size`` by less than its square root, and few indices walk.
    """
    root = math.isqrt(size - 1) + 1
    for low in range(root, max(root // 4, 1), -1):
        if size % low == 0:
            return size // low, low
    return -(-size // root), root


def _permute(x: jax.Array, round_keys: jax.Array, high: int, low: int) -> jax.Array:
    """A keyed bijection of ``range(high * low)``, elementwise on uint32."""
    left, right = x // low, x % low
    for i in range(0, _ROUNDS, 2):
        left = (left + _hash(right, round_keys[i])) % high
        right = (right + _hash(left, round_keys[i + 1])) % low
    return left * low + right


def _hash(x: jax.Array, round_key: jax.Array) -> jax.Array:
    """A cheap keyed hash of 31 bits, so that adding it to a digit cannot overflow and break the bijection."""
    x = (x ^ round_key) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return (x ^ (x >> 13)) >> 1
