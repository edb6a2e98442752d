"""A ring of experience: rows of parallel transitions, the newest over the oldest.

The ring holds only data. How many rows have ever been written, ``count``, is an argument. Agents derive
it from the shared clock, which carries no member axis: under ``vmap`` over a population the write then
compiles to one slice update at one position instead of a scatter, and the ring stays in place in a donated
state. An agent with its own rhythm of writing passes its own counter.

A *row* is ``N`` parallel transitions of one time step. A *physical* row is an index into the storage; an
*offset* counts rows from the oldest one still held, which has offset 0.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.types import PyTree


@struct.dataclass
class Ring:
    """Storage for ``capacity`` rows.

    Attributes:
        data: pytree whose leaves are ``[capacity, N, ...]``.
    """

    data: PyTree

    @property
    def capacity(self) -> int:
        """Rows the ring can hold."""
        return jax.tree.leaves(self.data)[0].shape[0]

    @property
    def num_envs(self) -> int:
        """Parallel transitions in a row, ``N``."""
        return jax.tree.leaves(self.data)[0].shape[1]


def init(item: PyTree, capacity: int, num_envs: int) -> Ring:
    """Return an empty ring.

    Args:
        item: one transition, arrays or ``jax.ShapeDtypeStruct`` without leading axes; dtypes are kept.
        capacity: rows to hold.
        num_envs: parallel transitions in a row.

    Raises:
        ConfigurationError: if ``capacity`` or ``num_envs`` is below 1.
    """
    if capacity < 1 or num_envs < 1:
        raise ConfigurationError(
            f"a replay of {capacity} rows of {num_envs} environments holds nothing; both must be at least 1 "
            "(rows = transitions to hold // environments)"
        )
    return Ring(data=jax.tree.map(lambda leaf: jnp.zeros((capacity, num_envs, *leaf.shape), leaf.dtype), item))


def add(ring: Ring, rows: PyTree, count: int | jax.Array) -> Ring:
    """Write ``T`` rows over the oldest ones, in O(T).

    Args:
        ring: the ring; in place if its buffers are donated.
        rows: pytree like ``ring.data`` with leaves ``[T, N, ...]``.
        count: rows ever written before these, a multiple of ``T``: the write is one slice and never wraps.

    Raises:
        ConfigurationError: if the capacity is not a multiple of ``T``.
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    if num_rows < 1 or ring.capacity % num_rows:
        raise ConfigurationError(
            f"a replay of {ring.capacity} rows cannot be filled {num_rows} at a time; "
            "make its rows a multiple of the rows written at once (rollout_length)"
        )
    position = count % ring.capacity

    def write(leaf: jax.Array, new: jax.Array) -> jax.Array:
        # A slice that is too small would be written without complaint.
        chex.assert_equal_shape_suffix([leaf, new], leaf.ndim - 1)
        return jax.lax.dynamic_update_slice_in_dim(leaf, new, position, axis=0)

    return Ring(data=jax.tree.map(write, ring.data, rows))


def size(ring: Ring, count: int | jax.Array) -> jax.Array:
    """Rows held after ``count`` were written, int32."""
    return jnp.minimum(count, ring.capacity)


def physical_row(ring: Ring, count: int | jax.Array, offset: jax.Array) -> jax.Array:
    """Physical rows of ``offset``, counted from the oldest row held."""
    oldest = count - size(ring, count)
    return (oldest + offset) % ring.capacity


def take(ring: Ring, row: jax.Array, env: jax.Array) -> PyTree:
    """Gather transitions.

    Args:
        ring: the ring.
        row: physical rows, int32 ``[B]``, or any shape that broadcasts against ``env``.
        env: environments within the rows, int32 ``[B]``.

    Returns:
        Pytree like ``ring.data`` with leaves ``[B, ...]``.
    """
    return jax.tree.map(lambda leaf: leaf[row, env], ring.data)
