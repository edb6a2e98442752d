"""What an action of Gymnasium's Humanoid-v4 means, for Brax's humanoid (`env.action_semantics`).

There the torques saturate at an action of 0.4 while the cost is that of the whole action: 1.0 and 0.4 in a joint move
it alike, and differ in the reward. In Brax ("native") actions in [-1, 1] are scaled to the range of the torques, and
the cost is that of the scaled ones. A policy bounded by 0.4 is at the limit of one and at two fifths of the other.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs.wrapper import Wrapper
from rlx.types import Key, PyTree

SEMANTICS = ("native", "gym_v4")
SATURATION, COST = 0.4, 0.1


class Unclamped(Wrapper):
    """Brax's humanoid with actions in [-1, 1] that saturate at 0.4 and cost as much as they are."""

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: PyTree
    ) -> tuple[PyTree, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step of the task with the saturated action; it charges that, and what is beyond is charged here."""
        applied = jnp.clip(action, -SATURATION, SATURATION)
        obs, state, reward, terminated, info = self.inner.step_env(key, state, applied / SATURATION, params)
        reward = reward - COST * (jnp.square(action) - jnp.square(applied)).sum()
        return obs, state, reward, terminated, info

    def reset_env(self, key: Key, params: PyTree) -> tuple[PyTree, PyTree]:
        """Draw a start state."""
        return self.inner.reset_env(key, params)
