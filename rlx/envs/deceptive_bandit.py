"""The deceptive bandit: a broad hill and, beyond a valley, a narrow one twice as high, in one of many dimensions."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.errors import ConfigurationError
from rlx.types import Key


@struct.dataclass
class DeceptiveBanditState(EnvState):
    """Steps taken, int32, and the observation ``[3]``."""

    time: jax.Array
    obs: jax.Array


class DeceptiveBandit(Environment[DeceptiveBanditState, EnvParams]):
    """The task, ``rlx/deceptive-bandit``, of one step.

    The reward is ``2 f(a_0) + 0.3 s_0`` and uniform noise of ±0.1, with
    ``f(a) = exp(-(a + 0.3)^2 / (2 0.2^2)) + 2 exp(-(a - 0.7)^2 / (2 0.08^2))`` and ``s`` standard normal: about 4 at
    best, and 2 on the broad hill. All other dimensions of the action do nothing.

    Args:
        action_size: dimensions of an action.
    """

    def __init__(self, action_size: int = 10) -> None:
        if action_size < 1:
            raise ConfigurationError(f"action_size={action_size} makes no task; take at least 1")
        self.action_size = action_size

    @property
    def default_params(self) -> EnvParams:
        """No time limit but that of an episode of one step."""
        return EnvParams(max_steps_in_episode=1)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, DeceptiveBanditState]:
        """Draw an observation."""
        obs = jax.random.normal(key, (3,))
        return obs, DeceptiveBanditState(jnp.zeros((), jnp.int32), obs)

    def step_env(
        self, key: Key, state: DeceptiveBanditState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, DeceptiveBanditState, jax.Array, jax.Array, dict[str, Any]]:
        """Pay, and end; ``action`` is ``[action_size]`` in [-1, 1]."""
        noise = jax.random.uniform(key, (), minval=-0.1, maxval=0.1)
        reward = 2.0 * hills(action[0]) + 0.3 * state.obs[0] + noise
        return state.obs, DeceptiveBanditState(state.time + 1, state.obs), reward, jnp.ones((), bool), {}

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Continuous."""
        return spaces.Box(-1.0, 1.0, (self.action_size,))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Unbounded."""
        return spaces.Box(-jnp.inf, jnp.inf, (3,))


def hills(a: jax.Array) -> jax.Array:
    """``f``, elementwise: 1 on the broad hill, at -0.3, and 2 on the narrow one, at 0.7."""
    return jnp.exp(-jnp.square((a + 0.3) / 0.2) / 2.0) + 2.0 * jnp.exp(-jnp.square((a - 0.7) / 0.08) / 2.0)
