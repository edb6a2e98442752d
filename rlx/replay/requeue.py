"""Writing with a pointer for each environment that spares terminations, into a ring that starts full (Symphony).

A first block of rows is tiled until the ring is full for ever. From then on each environment overwrites the
transition that its pointer stands at and moves on by one; if the transition it then stands at terminated its
episode, by one more. So that termination counts as recent again and never fades; a second one beside it does.
The released code rolls the whole list instead, by 1 or by 2; here nothing moves but the pointer.

The pointers depend on data, so under ``vmap`` this write is a scatter, unlike the one of `rlx.replay.ring`.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.replay.ring import Ring
from rlx.types import Transition

_Carry = tuple[Transition, jax.Array]


@struct.dataclass
class Queue:
    """Where each environment writes next.

    Attributes:
        pointer: physical rows, int32 ``[N]``; the offset ``i`` from the oldest lies ``1 + i`` rows after it.
        block: rows that are tiled; the ring holds a whole number of them.
        spares: whether terminations are spared.
    """

    pointer: jax.Array
    block: int = struct.field(pytree_node=False)
    spares: bool = struct.field(pytree_node=False, default=True)


def init(capacity: int, num_envs: int, block: int, spares: bool = True) -> Queue:
    """Return the queue of an empty ring: once full, its last rows are overwritten first."""
    return Queue(pointer=jnp.full(num_envs, capacity - 1, jnp.int32), block=block, spares=spares)


def write(ring: Ring, queue: Queue, rows: Transition, count: int | jax.Array) -> tuple[Ring, Queue]:
    """Write ``T`` rows: while the first block is collected into each of its copies, then over one old row each.

    Args:
        ring: ring whose data is a ``Transition``.
        queue: its pointers.
        rows: transitions ``[T, N]``.
        count: rows ever written before these. From the shared clock it carries no member axis, and under ``vmap``
            a row is written only as often as it must be.
    """
    jax.tree.map(lambda leaf, new: chex.assert_equal_shape_suffix([leaf, new], leaf.ndim - 1), ring.data, rows)
    capacity, envs = ring.capacity, jnp.arange(ring.num_envs)

    def step(carry: _Carry, xs: tuple[Transition, jax.Array]) -> tuple[_Carry, None]:
        (data, pointer), (row, time) = carry, xs
        filling = time < queue.block

        def put(copy: int, data: Transition) -> Transition:
            slot = jnp.where(filling, time + copy * queue.block, pointer)
            return jax.tree.map(lambda leaf, new: leaf.at[slot, envs].set(new, unique_indices=True), data, row)

        # A loop of one turn or of many, rather than a `cond`, which would copy the whole ring.
        data = jax.lax.fori_loop(0, jnp.where(filling, capacity // queue.block, 1), put, data)
        following = (pointer + 1) % capacity
        if queue.spares:
            following = (following + data.terminated[following, envs]) % capacity
        return (data, jnp.where(filling, pointer, following)), None

    times = count + jnp.arange(rows.reward.shape[0])
    (data, pointer), _ = jax.lax.scan(step, (ring.data, queue.pointer), (rows, times))
    return Ring(data), dataclasses.replace(queue, pointer=pointer)


def physical_row(ring: Ring, queue: Queue, offset: jax.Array, env: jax.Array) -> jax.Array:
    """Physical rows of ``offset``, counted from the oldest transition of ``env``; all int32 ``[B]``."""
    return (queue.pointer[env] + 1 + offset) % ring.capacity
