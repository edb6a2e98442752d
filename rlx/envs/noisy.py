"""Noise on what a task returns: the stochastic variants of deterministic tasks (REValueD, section 5)."""

from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs.gymnax_api import Environment
from rlx.envs.wrapper import Wrapper
from rlx.errors import ConfigurationError
from rlx.types import Key, PyTree


class Noisy(Wrapper):
    """A task with independent Gaussian noise on every reward and on every number of an observation.

    The state of the task itself stays what it is: noise on an observation is gone in the next one.

    Attributes:
        reward_noise: standard deviation, in units of reward.
        obs_noise: standard deviation, in units of the observation.

    Raises:
        ConfigurationError: if observations are no real numbers.
    """

    def __init__(self, inner: Environment, params: PyTree, reward_noise: float, obs_noise: float) -> None:
        super().__init__(inner)
        self.reward_noise, self.obs_noise = reward_noise, obs_noise
        obs = jax.eval_shape(lambda key: inner.reset_env(key, params)[0], jax.random.key(0))
        if obs_noise > 0 and not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(obs)):
            raise ConfigurationError(f"{inner.name}: obs_noise needs observations of real numbers; leave it out")

    def reset_env(self, key: Key, params: PyTree) -> tuple[PyTree, PyTree]:
        """Draw a start state."""
        task_key, noise_key = jax.random.split(key)
        obs, state = self.inner.reset_env(task_key, params)
        return self._noisy(noise_key, obs), state

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: PyTree
    ) -> tuple[PyTree, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step of the task."""
        task_key, reward_key, noise_key = jax.random.split(key, 3)
        obs, state, reward, terminated, info = self.inner.step_env(task_key, state, action, params)
        reward = reward + self.reward_noise * jax.random.normal(reward_key)
        return self._noisy(noise_key, obs), state, reward, terminated, info

    def _noisy(self, key: Key, obs: PyTree) -> PyTree:
        if self.obs_noise == 0:
            return obs
        leaves, structure = jax.tree.flatten(obs)
        keys = jax.random.split(key, len(leaves))
        noisy = [leaf + self.obs_noise * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, noisy)
