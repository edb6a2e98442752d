"""Advantages of actions in imagined rollouts."""

import chex
import jax
import jax.numpy as jnp


def imagined_advantages(
    rewards: jax.Array,
    goes_on: jax.Array,
    values: jax.Array,
    horizon: int | jax.Array,
    discount: float | jax.Array,
    trace_decay: float | jax.Array,
) -> jax.Array:
    """Lambda-advantages of each action of a rollout, over what is left of its first ``horizon`` steps.

    ``A_i = delta_i + discount trace_decay c_i A_(i+1)`` with ``delta_i = r_i + discount c_i V(z_(i+1)) - V(z_i)``,
    ``c_i`` the probability that the episode goes on; 0 from step ``horizon`` on. A ``trace_decay`` of 1 leaves the
    discounted rewards and ``V`` of the last state.

    Args:
        rewards: ``[H]``.
        goes_on: ``[H]``, in [0, 1]; what follows a 0 may be anything, NaN included.
        values: ``[H + 1]``, of the states ``z_0`` to ``z_H``.
        horizon: scalar in [1, H].
        discount: scalar in [0, 1].
        trace_decay: scalar in [0, 1].

    Returns:
        ``[H]``.
    """
    chex.assert_equal_shape([rewards, goes_on, values[:-1]])
    advantages, following = [], jnp.zeros(())
    for step in reversed(range(len(rewards))):
        future = discount * (values[step + 1] + trace_decay * following)
        future = jnp.where(goes_on[step] > 0, goes_on[step] * future, 0.0)
        following = jnp.where(step < horizon, rewards[step] + future - values[step], 0.0)
        advantages.append(following)
    return jnp.stack(advantages[::-1])
