"""The Playground family: MuJoCo Playground's dm_control suite, in MJX, as Gymnax environments with Playground's state.

Source: Zakka et al. 2025, "MuJoCo Playground"; the tasks are those of Tassa et al. 2018, "DeepMind Control Suite". The
bare environments are wrapped, without Playground's training wrappers, and run in MJX's JAX implementation, which needs
no GPU. Locomotion and manipulation are left out, because they download their robots.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs.family import Built, unknown_option, unknown_task
from rlx.envs.gymnax_api import Environment, EnvParams, spaces
from rlx.envs.imports import without
from rlx.envs.quiet import quiet
from rlx.errors import ConfigurationError
from rlx.task_names import installed, may_have
from rlx.types import Key, PyTree

# Fields of a task's configuration that are no options: for Warp and its cameras only, or rlx's `max_episode_steps`.
_FIXED = {"episode_length", "impl", "naconmax", "njmax", "vision", "vision_config"}


class PlaygroundTask(Environment):
    """A bare Playground environment behind the Gymnax API; rlx owns the time limit.

    A decision lasts ``action_repeat`` control steps: the action is repeated, the rewards are summed, and nothing that
    follows a termination counts. Playground terminates where a position or velocity is no number; NaN in the reward,
    the observation and the metrics of that step becomes 0, lest it spoil a learner.

    Attributes:
        env: the Playground environment.
        action_repeat: control steps a decision, at least 1.
        options: what ``make`` takes, with the values in use.
    """

    def __init__(
        self, name: str, env: Any, action_repeat: int, episode_length: int, options: Mapping[str, Any]
    ) -> None:
        self._name = name
        self.env = env
        self.action_repeat = action_repeat
        self.options = options
        self._decisions = math.ceil(episode_length / action_repeat)

    @property
    def name(self) -> str:
        """Playground's name of the environment."""
        return self._name

    @property
    def default_params(self) -> EnvParams:
        """The only parameter is the time limit, in decisions; physics is fixed when the environment is built."""
        return EnvParams(max_steps_in_episode=self._decisions)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[PyTree, PyTree]:
        """Draw a start state."""
        # Playground keeps a key in its state; as plain numbers it can be saved and selected like any other leaf.
        state = self.env.reset(jax.random.key_data(key))
        return state.obs, state

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: EnvParams
    ) -> tuple[PyTree, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Decide once; ``info`` holds Playground's metrics of the last control step that counts."""
        start = dataclasses.replace(state, reward=jnp.zeros(()), done=jnp.zeros(()))
        state, _ = jax.lax.scan(lambda state, _: (self._go_on(state, action), None), start, length=self.action_repeat)
        return state.obs, state, state.reward, state.done, dict(state.metrics)

    def observe(self, key: Key, state: PyTree, action: jax.Array | None, params: EnvParams) -> PyTree:
        """The observation that belongs to ``state``."""
        return state.obs

    def is_truncated(self, state: PyTree, params: EnvParams) -> jax.Array:
        """Never."""
        return jnp.zeros((), bool)

    def action_space(self, params: EnvParams) -> spaces.Box:
        """All actuators of the suite take [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (self.env.action_size,))

    def _go_on(self, before: PyTree, action: jax.Array) -> PyTree:
        """One control step further, with the reward so far; once done, only the physics goes on."""
        # Playground updates the metrics dictionary of the state it is given in place: hand it a rebuilt one.
        after = self.env.step(jax.tree.map(lambda leaf: leaf, before), action)
        ended, broken = before.done > 0, after.done > 0
        obs, reward, metrics = jax.tree.map(
            lambda x: jnp.where(broken & jnp.isnan(x), 0.0, x), (after.obs, after.reward, after.metrics)
        )
        obs, metrics = jax.tree.map(
            lambda old, new: jnp.where(ended, old, new), (before.obs, before.metrics), (obs, metrics)
        )
        return dataclasses.replace(
            after,
            obs=obs,
            metrics=metrics,
            reward=before.reward + jnp.where(ended, 0.0, reward),
            done=jnp.maximum(before.done, after.done),
        )


def make(name: str, params: PyTree | None = None, *, action_repeat: int = 1, **options: Any) -> Built:
    """Build a task of the suite, or one registered with it; ``options`` are fields of its configuration.

    Raises:
        ConfigurationError: if Playground is not installed, the name or an option is unknown, or a value is out of
            range.
    """
    full_name = f"playground/{name}"
    if not installed("playground"):
        raise ConfigurationError(f"{full_name} needs MuJoCo Playground: pip install 'rlx[playground]'")
    if not may_have("playground", name):
        raise unknown_task("playground", name)
    with quiet(), without("warp"):  # it is most of what takes MJX long to import
        from mujoco_playground import dm_control_suite

    if name not in dm_control_suite.ALL_ENVS:
        raise unknown_task("playground", name, dm_control_suite.ALL_ENVS)
    config = dm_control_suite.get_default_config(name)
    known = set(config) - _FIXED | {"action_repeat"}
    for option in options:
        if option not in known:
            raise unknown_option(full_name, option, known)
    if not isinstance(action_repeat, int) or isinstance(action_repeat, bool) or action_repeat < 1:
        raise ConfigurationError(
            f"{full_name}: action_repeat must be a whole number of at least 1, not {action_repeat!r}"
        )
    with quiet():
        env = dm_control_suite.load(name, config, {**options, "impl": "jax"})
    if env.n_substeps < 1 or not math.isclose(env.n_substeps * env.sim_dt, env.dt, rel_tol=1e-6):
        raise ConfigurationError(f"{full_name}: ctrl_dt={env.dt} must be a whole number of times sim_dt={env.sim_dt}")
    used = {**config, **options, "action_repeat": action_repeat}
    task = PlaygroundTask(
        name, env, action_repeat, config.episode_length, {option: used[option] for option in sorted(known)}
    )
    return Built(task, task.default_params if params is None else params, reset_mode="pool")
