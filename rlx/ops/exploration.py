"""How agents of discrete actions try what they would not do."""

import jax
import jax.numpy as jnp

from rlx.types import Key


def epsilon_greedy(
    key: Key, greedy: jax.Array, epsilon: float | jax.Array, num_actions: int, action_mask: jax.Array | None = None
) -> jax.Array:
    """Replace each action by a uniformly drawn one with probability ``epsilon``.

    Args:
        key: one for all actions.
        greedy: int32 ``[N]``.
        epsilon: in [0, 1].
        num_actions: ``A``; random actions lie below it.
        action_mask: bool ``[N, A]``; random actions are drawn from the valid ones.

    Returns:
        int32 ``[N]``.
    """
    explore_key, action_key = jax.random.split(key)
    if action_mask is None:
        random = jax.random.randint(action_key, greedy.shape, 0, num_actions)
    else:
        random = jax.random.categorical(action_key, jnp.where(action_mask, 0.0, -jnp.inf))
    return jnp.where(jax.random.uniform(explore_key, greedy.shape) < epsilon, random, greedy)
