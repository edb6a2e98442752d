"""Which steps feedback was meant for, when it comes late (Knox and Stone 2009, section 3)."""

import jax
import jax.numpy as jnp


def uniform_credit(
    start: jax.Array, end: jax.Array, time: jax.Array, low: float | jax.Array, high: float | jax.Array
) -> jax.Array:
    """Probability that feedback at ``time`` was about what happened from ``start`` to ``end``.

    A person reacts after a time that is uniform in ``[low, high]``; all in one unit, elementwise.

    Args:
        start: when a step began.
        end: when it ended, later.
        time: when feedback was given.
        low: the shortest reaction.
        high: the longest, greater than ``low``.
    """
    overlap = jnp.minimum(time - start, high) - jnp.maximum(time - end, low)
    return jnp.maximum(overlap, 0.0) / (high - low)
