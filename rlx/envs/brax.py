"""The Brax family: the bare Brax environments as Gymnax environments whose state is the Brax ``State``.

Brax's own training wrappers are left out: they restart every episode from one cached state and take a time
limit for a termination. MJX, which Brax is made of, is loaded without Warp: it runs in its JAX implementation here.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from rlx.envs.family import Built, constructor_options, unknown_option, unknown_task
from rlx.envs.gym_v4 import SEMANTICS, Unclamped
from rlx.envs.gymnax_api import Environment, EnvParams, spaces
from rlx.envs.imports import without
from rlx.envs.quiet import quiet
from rlx.errors import ConfigurationError, suggest
from rlx.task_names import BRAX, BRAX_BACKENDS
from rlx.types import Key, PyTree

# `brax.fluid`, which only the swimmer needs, passes `jnp.clip` an argument that JAX has removed.
_BROKEN = {"swimmer": "brax/swimmer cannot run: Brax's fluid forces do not work with current JAX; try brax/reacher"}
_TIME_LIMIT = 1000
# Those that scale actions to the range of their controls.
_SCALED = ("humanoid", "humanoidstandup", "inverted_pendulum", "pusher")


class BraxTask(Environment):
    """A bare Brax environment behind the Gymnax API. It never truncates itself: rlx owns the time limit.

    What it counts is ``power``, an estimate of what the actuators do: the sum over joints of ``|torque x velocity|``
    after a step, in the units of the model.
    """

    counters: ClassVar[tuple[str, ...]] = ("power",)

    def __init__(self, name: str, env: Any) -> None:
        self._name = name
        self.env = env

    @property
    def name(self) -> str:
        """Brax's name of the environment."""
        return self._name

    @property
    def default_params(self) -> EnvParams:
        """The only parameter is the time limit; physics is fixed when the environment is built."""
        return EnvParams(max_steps_in_episode=_TIME_LIMIT)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, PyTree]:
        """Draw a start state."""
        state = self.env.reset(key)
        return state.obs, state

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step; ``info`` holds Brax's metrics, and the power."""
        # Brax updates the metrics dictionary of the state it is given in place: hand it a rebuilt one.
        state = self.env.step(jax.tree.map(lambda leaf: leaf, state), action)
        info = dict(state.metrics) | {"power": self.power(state.pipeline_state, action)}
        return state.obs, state, state.reward, state.done, info

    def power(self, body: PyTree, action: jax.Array) -> jax.Array:
        """The power of an action ``[D]`` in [-1, 1], scalar; ``body`` is Brax's pipeline state."""
        from brax import actuator

        low, high = self.env.sys.actuator.ctrl_range.T
        control = low + 0.5 * (action + 1.0) * (high - low) if self.name in _SCALED else action
        torque = actuator.to_tau(self.env.sys, control, body.q, body.qd)
        return jnp.abs(torque * body.qd).sum()

    def observe(self, key: Key, state: PyTree, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """The observation that belongs to ``state``."""
        return state.obs

    def is_truncated(self, state: PyTree, params: EnvParams) -> jax.Array:
        """Never."""
        return jnp.zeros((), bool)

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Brax takes actions in [-1, 1] and scales them to the actuators itself."""
        return spaces.Box(-1.0, 1.0, (self.env.action_size,))

    def viewer(self, states: list[PyTree]) -> str:
        """An HTML page that plays ``states`` in Brax's viewer."""
        from brax.io import html

        bodies = [state.pipeline_state for state in states]
        return html.render(self.env.sys, bodies, height="100vh", colab=False)


def make(
    name: str,
    params: PyTree | None = None,
    *,
    backend: str = "spring",
    action_semantics: str = "native",
    **options: Any,
) -> Built:
    """Build a Brax environment; ``options`` are its constructor's, ``action_semantics`` those of `rlx.envs.gym_v4`.

    Raises:
        ConfigurationError: if the name, the backend or an option is unknown, or the environment cannot run.
    """
    full_name = f"brax/{name}"
    if name in _BROKEN:
        raise ConfigurationError(_BROKEN[name])
    if name not in BRAX:
        raise unknown_task("brax", name)
    if backend not in BRAX_BACKENDS:
        hint = suggest(backend, BRAX_BACKENDS)
        raise ConfigurationError(
            f"{full_name}: unknown backend {backend!r}{hint}; there are {', '.join(BRAX_BACKENDS)}"
        )
    with quiet(), without("warp"):  # half of the time that MJX, and with it Brax, takes to import
        from brax import envs as brax_envs
    with quiet():
        env = brax_envs.get_environment(name, backend=backend)
        known = constructor_options(env) - {"backend"}
        for option in options:
            if option not in known:
                raise unknown_option(full_name, option, known | {"backend"})
        if options:
            env = brax_envs.get_environment(name, backend=backend, **options)
    task = with_semantics(full_name, BraxTask(name, env), action_semantics)
    return Built(task, task.default_params if params is None else params, reset_mode="pool")


def with_semantics(full_name: str, task: BraxTask, semantics: str) -> Environment:
    """The task with actions that mean what ``semantics`` says.

    Raises:
        ConfigurationError: if there is no such meaning, or none for this task.
    """
    if semantics not in SEMANTICS:
        hint = suggest(semantics, SEMANTICS)
        raise ConfigurationError(
            f"{full_name}: unknown action_semantics {semantics!r}{hint}; there are {', '.join(SEMANTICS)}"
        )
    if semantics == "native":
        return task
    if task.name != "humanoid":
        raise ConfigurationError(f"{full_name}: action_semantics=gym_v4 is of brax/humanoid only; leave it out")
    return Unclamped(task)
