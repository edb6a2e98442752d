"""Proportional prioritised replay (Schaul et al. 2016, section 3.3 and appendix B.2.1).

Entries are the slots of a ring, ``row * num_envs + env`` with the physical row, so that
``jnp.divmod(indices, num_envs)`` leads back to it. The tree of sums is 16 wide rather than binary: at a
million entries five gathers of short slices replace twenty that depend on each other.
"""

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.types import Key

WIDTH = 16


@struct.dataclass
class SumTree:
    """Priorities and the sums over them; memory is 16/15 of the priorities alone.

    Attributes:
        levels: float32 arrays ``[nodes, WIDTH]``, the priorities first, the root (one node) last. Above the
            priorities, an element is the sum of the node of the same flat index one level below.
        max_priority: largest priority ever set, at first 1: an entry's own until it has an error, float32.
        num_entries: number of priorities.
    """

    levels: tuple[jax.Array, ...]
    max_priority: jax.Array
    num_entries: int = struct.field(pytree_node=False)


def init(num_entries: int) -> SumTree:
    """Return a tree of ``num_entries`` priorities (rows times environments), all 0.

    Raises:
        ConfigurationError: if there is no entry.
    """
    if num_entries < 1:
        raise ConfigurationError(f"a prioritised replay of {num_entries} entries holds nothing; make it at least 1")
    nodes = -(-num_entries // WIDTH)
    levels = [jnp.zeros((nodes, WIDTH))]
    while nodes > 1:
        nodes = -(-nodes // WIDTH)
        levels.append(jnp.zeros((nodes, WIDTH)))
    return SumTree(levels=tuple(levels), max_priority=jnp.float32(1.0), num_entries=num_entries)


def set_priorities(tree: SumTree, indices: jax.Array, priorities: jax.Array) -> SumTree:
    """Set priorities and the sums above them.

    Args:
        tree: the tree.
        indices: entries, int32 ``[B]``; where one occurs twice, the largest of its new priorities holds.
        priorities: float32 ``[B]``, not negative and already raised to the power alpha (equation 1). An entry
            of priority 0 is never drawn.
    """
    node, slot = jnp.divmod(indices, WIDTH)
    # A plain set leaves open which duplicate wins; zero, then maximum, is the same on every device.
    level = tree.levels[0].at[node, slot].set(0.0).at[node, slot].max(priorities)
    levels = [level]
    for above in tree.levels[1:]:
        # Sums are taken anew from the children, never adjusted: no drift, and duplicates write one value.
        total = level[node].sum(axis=-1)
        node, slot = jnp.divmod(node, WIDTH)
        level = above.at[node, slot].set(total)
        levels.append(level)
    max_priority = jnp.maximum(tree.max_priority, priorities.max())
    return SumTree(levels=tuple(levels), max_priority=max_priority, num_entries=tree.num_entries)


def admit(tree: SumTree, count: int | jax.Array, num_rows: int, num_envs: int, n: int = 1) -> SumTree:
    """Follow a write to the ring: rows whose n-step window it completes get the largest priority seen.

    The newest ``n - 1`` rows have no whole window yet and wait at priority 0.

    Args:
        tree: tree over all slots of the ring.
        count: rows ever written before this write, as for ``ring.add``.
        num_rows: rows written.
        num_envs: environments in a row.
        n: rows in a window.

    Raises:
        ConfigurationError: if the ring is too small to tell waiting rows from complete ones.
    """
    capacity = tree.num_entries // num_envs
    num_waiting = min(num_rows, n - 1)
    check_rows(capacity, num_rows, n)
    complete = count - n + 1 + jnp.arange(num_rows)
    waiting = count + num_rows - num_waiting + jnp.arange(num_waiting)
    rows = jnp.concatenate([complete, waiting])
    # Before the first window is complete some of `complete` lie before row 0, in slots not yet written.
    holds = jnp.concatenate([complete >= 0, jnp.zeros(num_waiting, bool)])
    indices = (rows % capacity)[:, None] * num_envs + jnp.arange(num_envs)
    priorities = jnp.broadcast_to(jnp.where(holds, tree.max_priority, 0.0)[:, None], indices.shape)
    return set_priorities(tree, indices.ravel(), priorities.ravel())


def check_rows(capacity: int, num_rows: int, n: int) -> None:
    """Refuse a ring in which ``num_rows`` new rows reach into the windows of ``n`` rows that they complete.

    Raises:
        ConfigurationError: naming the rows that it takes.
    """
    if num_rows + n - 1 > capacity:
        raise ConfigurationError(
            f"a prioritised replay of {capacity} rows is too small for {num_rows} new rows and n_step = {n}; "
            f"make it at least {num_rows + n - 1} rows"
        )


def sample(tree: SumTree, key: Key, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Draw entries in proportion to their priorities, one from each of B equal shares of the sum.

    The shares hold down to groups of 16 neighbouring entries. Some priority must be above 0.

    Returns:
        Entries, int32 ``[batch_size]``, and their probabilities (equation 1), float32 ``[batch_size]``.
    """
    stratum_draw, leaf_draw = jax.random.uniform(key, (2, batch_size))
    total = tree.levels[-1].sum()
    mass = (jnp.arange(batch_size) + stratum_draw) * (total / batch_size)
    index = jnp.zeros(batch_size, jnp.int32)
    for level in tree.levels[:0:-1]:
        slot, mass, _ = _descend(level[index], mass)
        index = index * WIDTH + slot
    # float32 has too few bits to lead one number from the root to one of millions of entries, so the last
    # step, among 16 neighbours, draws anew; the probabilities stay what they are.
    children = tree.levels[0][index]
    slot, _, priority = _descend(children, leaf_draw * children.sum(axis=-1))
    return index * WIDTH + slot, priority / total


def importance_weights(probabilities: jax.Array, size: int | jax.Array, beta: float | jax.Array) -> jax.Array:
    """Weights that correct for drawing by priority: section 3.4, over their maximum in the batch.

    Args:
        probabilities: of the drawn entries, ``[B]``.
        size: entries in the replay.
        beta: 0 for no correction, 1 for a full one.

    Returns:
        Float32 ``[B]`` in (0, 1].
    """
    weights = (size * probabilities) ** -beta
    return weights / weights.max()


def _descend(children: jax.Array, mass: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Find the child ``[B]`` in which ``mass`` falls among ``children`` ``[B, WIDTH]``.

    Returns:
        The child's slot, the mass left over within it, and the child's own sum.
    """
    # Rounding, which depends on the device's order of summation, must never lead to a child of sum 0: those
    # are passed over, and the mass stays within the rest.
    cumulative = jnp.where(children > 0, jnp.cumsum(children, axis=-1), 0.0)
    mass = jnp.minimum(mass, cumulative.max(axis=-1) * (1 - 2**-23))
    slot = jnp.argmax(cumulative > mass[:, None], axis=-1)
    child, above = (jnp.take_along_axis(array, slot[:, None], axis=-1)[:, 0] for array in (children, cumulative))
    return slot, jnp.maximum(mass - (above - child), 0.0), child
