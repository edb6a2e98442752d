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


def joint_epsilon_greedy(
    key: Key, greedy: jax.Array, epsilon: float | jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Replace whole factored actions by uniformly drawn ones with probability ``epsilon``, one coin for all components.

    Args:
        key: one for all actions.
        greedy: int32 ``[B, N]``.
        epsilon: in [0, 1].
        valid: bool ``[N, n]`` or ``[B, N, n]``, the choices to draw from.

    Returns:
        Actions, int32 ``[B, N]``, and whether each was drawn, bool ``[B]``.
    """
    explore_key, action_key = jax.random.split(key)
    explored = jax.random.uniform(explore_key, greedy.shape[:1]) < epsilon
    return jnp.where(explored[:, None], random_choices(action_key, greedy.shape, valid), greedy), explored


def component_epsilon_greedy(key: Key, greedy: jax.Array, epsilon: float | jax.Array, valid: jax.Array) -> jax.Array:
    """Replace each component of factored actions by a uniformly drawn choice with probability ``epsilon``.

    The arguments are those of `joint_epsilon_greedy`; returns int32 ``[B, N]``.
    """
    explore_key, action_key = jax.random.split(key)
    explored = jax.random.uniform(explore_key, greedy.shape) < epsilon
    return jnp.where(explored, random_choices(action_key, greedy.shape, valid), greedy)


def random_choices(key: Key, shape: tuple[int, ...], valid: jax.Array) -> jax.Array:
    """Valid choices of every component drawn alike, int32 ``shape``, ``[B, N]``; 0 where none is valid."""
    return jax.random.categorical(key, jnp.where(valid, 0.0, -jnp.inf), shape=shape)


def decayed_epsilon(
    num_explored: jax.Array, initial: float | jax.Array, decay: float | jax.Array, final: float | jax.Array
) -> jax.Array:
    """The probability of exploring after so many exploring actions: ``max(initial * decay**num_explored, final)``."""
    return jnp.maximum(initial * jnp.power(decay, num_explored.astype(jnp.float32)), final)
