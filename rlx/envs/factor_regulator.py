"""The factor regulator: any number of masses to hold at once, whose rewards only come together.

A task for agents of factored actions whose difficulty is set by the number of components alone: a single mass that is
away hides from the reward what the others do.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.errors import ConfigurationError
from rlx.types import Key, MultiDiscrete


@struct.dataclass
class FactorRegulatorState(EnvState):
    """Steps taken, int32, and the masses' positions and velocities, float32 ``[N]``."""

    time: jax.Array
    position: jax.Array
    velocity: jax.Array


class FactorRegulator(Environment[FactorRegulatorState, EnvParams]):
    """The task, ``rlx/factor-regulator``; it never terminates, and at best returns 50.

    ``v <- 0.8 v + 0.2 a``, ``x <- clip(x + 0.3 v, -2, 2)``, reward ``exp(-4 mean(x^2))`` after the move; ``a`` lies in
    [-1, 1]. Masses start at rest in [-1, 1].

    Args:
        num_components: masses ``N``, and components of an action.
        bins: values that each of them takes, evenly spaced from -1 to 1.
    """

    def __init__(self, num_components: int = 6, bins: int = 3) -> None:
        if num_components < 1 or bins < 2:
            raise ConfigurationError(
                f"num_components={num_components} and bins={bins} make no task; take at least 1 component of 2 bins"
            )
        self.num_components, self.bins = num_components, bins

    @property
    def default_params(self) -> EnvParams:
        """The time limit."""
        return EnvParams(max_steps_in_episode=50)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, FactorRegulatorState]:
        """Draw positions."""
        position = jax.random.uniform(key, (self.num_components,), minval=-1.0, maxval=1.0)
        state = FactorRegulatorState(jnp.zeros((), jnp.int32), position, jnp.zeros(self.num_components))
        return self.observation_of(state), state

    def step_env(
        self, key: Key, state: FactorRegulatorState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, FactorRegulatorState, jax.Array, jax.Array, dict[str, Any]]:
        """Push every mass; ``action`` is int32 ``[N]``."""
        force = 2.0 * action.astype(jnp.float32) / (self.bins - 1) - 1.0
        velocity = 0.8 * state.velocity + 0.2 * force
        position = jnp.clip(state.position + 0.3 * velocity, -2.0, 2.0)
        state = FactorRegulatorState(state.time + 1, position, velocity)
        reward = jnp.exp(-4.0 * jnp.square(position).mean())
        return self.observation_of(state), state, reward, jnp.zeros((), bool), {}

    def observation_of(self, state: FactorRegulatorState) -> jax.Array:
        """Positions and velocities, float32 ``[2 N]``."""
        return jnp.concatenate([state.position, state.velocity])

    def action_space(self, params: EnvParams) -> MultiDiscrete:
        """``N`` components of ``bins`` values."""
        return MultiDiscrete((self.bins,) * self.num_components)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Within what clipping and friction leave."""
        return spaces.Box(-2.0, 2.0, (2 * self.num_components,))
