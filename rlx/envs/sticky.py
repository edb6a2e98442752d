"""Sticky actions, which keep an agent from replaying a memorised sequence of actions in a deterministic task.

Source: Machado et al. 2018, "Revisiting the Arcade Learning Environment", section 5.2. Gymnax's own wrapper takes
discrete actions only, and hands the last action of an episode on to the next one.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, spaces
from rlx.envs.wrapper import Wrapper
from rlx.errors import ConfigurationError
from rlx.types import Box, Key, MultiDiscrete, PyTree


@struct.dataclass
class StickyState:
    """The task's own state, and the action that was executed last."""

    task: PyTree
    action: jax.Array


class Sticky(Wrapper):
    """A task that at times executes the action it executed before instead of the one that was chosen.

    The first action of an episode can be replaced too, by zeros: the no-op of MinAtar and the Arcade Learning
    Environment. A box that does not hold zero has the value nearest to it instead.

    Attributes:
        probability: how likely, at each step, the action executed before is executed again.

    Raises:
        ConfigurationError: if the task has an action mask.
    """

    def __init__(self, inner: Environment, probability: float) -> None:
        if hasattr(inner, "action_mask"):
            raise ConfigurationError(
                f"{inner.name}: sticky_actions could repeat an action that its action mask forbids; leave it out"
            )
        super().__init__(inner)
        self.probability = probability

    def inner_state(self, state: StickyState) -> PyTree:
        """The task's part of a state."""
        return state.task

    def reset_env(self, key: Key, params: PyTree) -> tuple[PyTree, StickyState]:
        """Draw a start state."""
        obs, state = self.inner.reset_env(key, params)
        return obs, StickyState(task=state, action=_no_action(self.action_space(params)))

    def step_env(
        self, key: Key, state: StickyState, action: jax.Array, params: PyTree
    ) -> tuple[PyTree, StickyState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step with the chosen action or with the one executed before."""
        task_key, stick_key = jax.random.split(key)
        action = jnp.where(jax.random.bernoulli(stick_key, self.probability), state.action, action)
        obs, task_state, reward, terminated, info = self.inner.step_env(task_key, state.task, action, params)
        return obs, StickyState(task=task_state, action=action), reward, terminated, info


def _no_action(space: Any) -> jax.Array:
    """The action that an episode begins with as the one executed before."""
    match space:
        case MultiDiscrete(nvec):
            return jnp.zeros(len(nvec), jnp.int32)
        case Box(size):
            return jnp.zeros(size)
        case spaces.Box():
            return jnp.clip(jnp.zeros(space.shape), space.low, space.high)
        case _:
            return jnp.zeros((), jnp.int32)
