"""n-step transitions read from a ring of single ones (Sutton and Barto 2018, equation 7.1).

The window of a start is the ``n`` rows from it on, in the same environment, cut after the first row that ends
an episode: a return never crosses into the next one.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.replay.ring import Ring, size, take
from rlx.types import Transition


@struct.dataclass
class NStepBatch:
    """Transitions over up to ``n`` steps, leading axis ``[B]``.

    The value target is ``reward + discount * (1 - terminated) * V(next_obs)``: it bootstraps after the last
    row used unless that row terminated. A truncated row cuts the window and is bootstrapped from.

    Attributes:
        obs: observation at the start.
        action: action at the start.
        reward: discounted sum over the ``k <= n`` rows used, float32; any further axes are kept.
        discount: the discount to the power ``k``, float32.
        terminated: whether the last row used terminated, bool.
        next_obs: observation after the last row used, before any reset.
        action_mask: valid actions at the start, or None.
        next_action_mask: valid actions in ``next_obs``, or None.
        extras: what the agent stored with the start.
        steps: ``k``, int32; what the replay draws has it.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    terminated: jax.Array
    next_obs: jax.Array
    action_mask: jax.Array | None
    next_action_mask: jax.Array | None
    extras: dict[str, Any]
    steps: jax.Array | None = None


def valid_starts(ring: Ring, count: int | jax.Array, n: int) -> jax.Array:
    """Starts with a whole window of ``n`` rows, the offsets from 0 on: the ``size`` to sample from, int32."""
    return jnp.maximum(size(ring, count) - n + 1, 0)


def windows_from(ring: Ring, start: jax.Array, env: jax.Array, n: int, discount: float | jax.Array) -> NStepBatch:
    """Gather n-step transitions.

    Args:
        ring: ring whose data is a ``Transition``.
        start: physical rows of the starts, int32 ``[B]``; their windows must be held.
        env: environments of the starts, int32 ``[B]``.
        n: rows in a window; with 1 this is a plain gather.
        discount: discount of one step.

    Raises:
        ConfigurationError: if a window of ``n`` rows is empty or exceeds the ring.
    """
    if not 1 <= n <= ring.capacity:
        raise ConfigurationError(
            f"n_step = {n} does not fit a replay of {ring.capacity} rows; choose between 1 and the rows"
        )
    data: Transition = ring.data
    first = Ring((data.obs, data.action, data.action_mask, data.extras))
    last = Ring((data.next_obs, data.next_action_mask, data.terminated))
    if n == 1:
        end, reward, used = start, take(Ring(data.reward), start, env), jnp.ones_like(start)
        total_discount = jnp.broadcast_to(jnp.asarray(discount, reward.dtype), start.shape)
    else:
        reward, used = _accumulate(ring, start, env, n, discount)
        end = (start + used - 1) % ring.capacity
        total_discount = discount**used
    obs, action, action_mask, extras = take(first, start, env)
    next_obs, next_action_mask, terminated = take(last, end, env)
    return NStepBatch(
        obs=obs,
        action=action,
        reward=reward,
        discount=total_discount,
        steps=used,
        terminated=terminated,
        next_obs=next_obs,
        action_mask=action_mask,
        next_action_mask=next_action_mask,
        extras=extras,
    )


def _accumulate(
    ring: Ring, start: jax.Array, env: jax.Array, n: int, discount: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the discounted rewards of each window, ``[B, ...]``, and how many rows it uses, int32 ``[B]``."""
    data: Transition = ring.data
    steps = jnp.arange(n)
    rows = (start[:, None] + steps) % ring.capacity
    reward, terminated, truncated = take(Ring((data.reward, data.terminated, data.truncated)), rows, env[:, None])
    ends = terminated | truncated | (steps == n - 1)
    last = jnp.argmax(ends, axis=1)
    inside = (steps <= last[:, None]).reshape(*rows.shape, *(1,) * (reward.ndim - 2))
    weights = (discount**steps).reshape(n, *(1,) * (reward.ndim - 2))
    return jnp.where(inside, weights * reward, 0.0).sum(axis=1), last + 1
