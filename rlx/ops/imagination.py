"""Imagined rollouts of a batch of states, and advantages of the actions in them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlx.types import Key, PyTree


class Situation(NamedTuple):
    """Where a rollout is: the state of its dynamics, the observation, and the mask of its actions, all ``[B]``."""

    state: PyTree
    obs: jax.Array
    action_mask: jax.Array | None


class Path(NamedTuple):
    """What a rollout met: leading axes ``[H, B]``, and ``[H + 1, B]`` for ``obs``; ``goes_on`` as below."""

    obs: jax.Array
    action_mask: jax.Array | None
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    goes_on: jax.Array


# Situation, actions and key to the next situation, rewards, and probabilities that the episode goes on.
Dynamics = Callable[[Situation, jax.Array, Key], tuple[Situation, jax.Array, jax.Array]]


def follow(policy: Callable[..., Any], dynamics: Dynamics, start: Situation, key: Key, num_steps: int) -> Path:
    """Act ``num_steps`` times by ``policy(obs, action_mask)``, a distribution, in ``dynamics``.

    ``z_(i+1) = f(z_i, a_i)`` with ``a_i ~ pi(.|z_i)``, from real ``z_0`` on (Nauman and Cygan 2023, section 5.1).
    """

    def step(situation: Situation, key: Key) -> tuple[Situation, Path]:
        act_key, step_key = jax.random.split(key)
        chosen = policy(situation.obs, situation.action_mask)
        action = chosen.sample(act_key)
        following, reward, goes_on = dynamics(situation, action, step_key)
        met = Path(situation.obs, situation.action_mask, action, chosen.log_prob(action), reward, goes_on)
        return following, met

    last, path = jax.lax.scan(step, start, jax.random.split(key, num_steps))
    return path._replace(obs=jnp.concatenate([path.obs, last.obs[None]]))


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
