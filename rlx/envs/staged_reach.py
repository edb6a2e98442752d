"""Staged reach: a task in which the action's dimensions that matter are known, and change once it is half solved."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.errors import ConfigurationError
from rlx.types import Key

_DISTRACTORS = 4


@struct.dataclass
class StagedReachState(EnvState):
    """Steps taken, int32; the hand's position ``[2]``; and what only distracts, ``[4]``."""

    time: jax.Array
    position: jax.Array
    noise: jax.Array


class StagedReach(Environment[StagedReachState, EnvParams]):
    """The task, ``rlx/staged-reach``; it never terminates, and at best returns about 118.

    In the first stage dimensions 0 and 1 of the action pay what they are, each until its coordinate of the position is
    above 0.5; in the second, where both are, the reward is ``1 + 1.5 a_2``. The position is that before the move; it
    moves by ``0.1 (a_0, a_1)`` within [-1, 1]. Uniform noise of ±0.05 is added. All other dimensions do nothing, and
    four numbers of the observation mean nothing.

    Args:
        action_size: dimensions of an action, at least 3.
    """

    def __init__(self, action_size: int = 8) -> None:
        if action_size < 3:
            raise ConfigurationError(
                f"action_size={action_size} is too few; dimensions 0, 1 and 2 matter, take 3 or more"
            )
        self.action_size = action_size

    @property
    def default_params(self) -> EnvParams:
        """The time limit."""
        return EnvParams(max_steps_in_episode=50)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, StagedReachState]:
        """Draw a position, far away."""
        position_key, noise_key = jax.random.split(key)
        position = jax.random.uniform(position_key, (2,), minval=-1.0, maxval=-0.5)
        state = StagedReachState(jnp.zeros((), jnp.int32), position, jax.random.normal(noise_key, (_DISTRACTORS,)))
        return self.observation_of(state), state

    def step_env(
        self, key: Key, state: StagedReachState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, StagedReachState, jax.Array, jax.Array, dict[str, Any]]:
        """Move the hand; ``action`` is ``[action_size]`` in [-1, 1]."""
        noise_key, reward_key = jax.random.split(key)
        away = state.position <= 0.5
        reward = jnp.where(away.any(), jnp.where(away, action[:2], 0.0).sum(), 1.0 + 1.5 * action[2])
        reward += jax.random.uniform(reward_key, (), minval=-0.05, maxval=0.05)
        position = jnp.clip(state.position + 0.1 * action[:2], -1.0, 1.0)
        noise = 0.9 * state.noise + 0.3 * jax.random.laplace(noise_key, (_DISTRACTORS,))
        state = StagedReachState(state.time + 1, position, noise)
        return self.observation_of(state), state, reward, jnp.zeros((), bool), {}

    def observation_of(self, state: StagedReachState) -> jax.Array:
        """Position, whether the second stage is reached, and what distracts, float32 ``[7]``."""
        stage = (state.position > 0.5).all().astype(jnp.float32)
        return jnp.concatenate([state.position, stage[None], state.noise])

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Continuous."""
        return spaces.Box(-1.0, 1.0, (self.action_size,))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Unbounded, for the sake of what distracts."""
        return spaces.Box(-jnp.inf, jnp.inf, (3 + _DISTRACTORS,))
