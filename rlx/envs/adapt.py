"""One wrapper that gives every task the same face: rlx actions, one observation array, stable dtypes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs import actions, contract, observations, parameters
from rlx.envs.gymnax_api import Environment, spaces
from rlx.types import ActionSpace, Key, PyTree


class Adapted(Environment):
    """A task as agents see it; its state is the task's own.

    Actions: a bounded box of any shape becomes `rlx.types.Box`, a flat vector in [-1, 1] that is clipped and
    scaled to the bounds. With ``discretise=n`` it becomes ``n`` evenly spaced values from bound to bound:
    ``Discrete(n)`` in one dimension, ``MultiDiscrete((n,) * D)`` in more. Observations: what the task's
    ``observation_space`` declares as discrete becomes one-hot, float32, or stays its number without ``one_hot``;
    a dictionary or tuple becomes one flat float32 vector, a scalar a vector of length 1; ``flatten`` makes a vector
    of an image. Bytes (uint8) are brightness, of which networks make [0, 1]; where their space says that they end at
    127 or before they are codes, and become int8. Rewards are float32, ``terminated`` is bool, and a state keeps its
    dtypes from reset to step, as the carry of a scan must.

    With ``twice`` a task is asked twice, to find what it keeps outside its state.

    Attributes:
        inner: the task itself.
        space: the action space agents see.
        obs_struct: shape and dtype of an observation.
        info_struct: shapes and dtypes of ``info``.
        has_action_mask: whether the task has a method ``action_mask(state, params)``.
        counters: what the task names as its ``counters``: entries of ``info`` that count something in each step.

    Raises:
        ConfigurationError: if something of the task or that it returns cannot work (`rlx.envs.contract`).
        TaskFailed: if the task itself raises.
    """

    def __init__(
        self,
        inner: Environment,
        params: PyTree,
        *,
        discretise: int | None,
        flatten: bool,
        one_hot: bool = True,
        twice: bool = False,
    ) -> None:
        self.inner = inner
        with contract.calling("action_space"):
            self.space, self._decode = actions.adapted(inner.name, inner.action_space(params), discretise)
        with contract.calling("observation_space"):
            space = observations.observation_space(inner, params)
        self._encode = observations.encoder(inner.name, space, one_hot, flatten)
        self.has_action_mask = hasattr(inner, "action_mask")
        self.counters: tuple[str, ...] = tuple(getattr(inner, "counters", ()))
        self._check(params, twice)

    @property
    def name(self) -> str:
        """The task's own name."""
        return self.inner.name

    def reset_env(self, key: Key, params: PyTree) -> tuple[jax.Array, PyTree]:
        """Draw a start state."""
        returned = self.inner.reset_env(key, params)
        obs, state = contract.parts(self.name, "reset_env", returned, contract.RESET)
        return self._encode(obs), contract.arrays(self.name, "state", state)

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: PyTree
    ) -> tuple[jax.Array, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step with an action of `space`."""
        returned = self.inner.step_env(key, state, self._decode(action), params)
        obs, state, reward, terminated, info = contract.parts(self.name, "step_env", returned, contract.STEP)
        return (
            self._encode(obs),
            contract.arrays(self.name, "state", state),
            contract.scalar(self.name, "reward", reward, jnp.float32),
            contract.scalar(self.name, "terminated", terminated, bool),
            contract.info_of(self.name, info),
        )

    def observe(self, key: Key, state: PyTree, action: jax.Array | None, params: PyTree) -> jax.Array:
        """The observation that belongs to ``state``."""
        return self._encode(self.inner.observe(key, state, action, params))

    def is_truncated(self, state: PyTree, params: PyTree) -> jax.Array:
        """Whether the task's own time limit is reached."""
        truncated = contract.is_truncated(self.inner, state, params)
        return contract.scalar(self.name, "is_truncated", truncated, bool)

    def action_mask(self, state: PyTree, params: PyTree) -> jax.Array:
        """The valid actions in ``state``: bool ``[A]``, or ``[sum(nvec)]`` component after component."""
        return contract.numbers(self.name, "action_mask", self.inner.action_mask(state, params)).astype(bool)

    def action_space(self, params: PyTree) -> ActionSpace:
        """The action space agents see."""
        return self.space

    def observation_space(self, params: PyTree) -> spaces.Box:
        """The shape and dtype of observations, without bounds."""
        return spaces.Box(-jnp.inf, jnp.inf, self.obs_struct.shape, self.obs_struct.dtype)

    def _check(self, params: PyTree, twice: bool) -> None:
        """Trace a reset and a step, and keep the shapes that others need."""
        large = parameters.large_arrays(params)

        def traced(method: str, call: Callable[..., Any], *state: PyTree) -> Any:
            def here(key: Key, action: jax.Array, large: Any, *state: PyTree) -> Any:
                return call(key, *state, action, parameters.with_arrays(params, large))

            with contract.calling(method):
                given = (jax.random.key(0), actions.example(self.space), large, *state)
                program, shapes = jax.make_jaxpr(here, return_shape=True)(*given)
                contract.require_pure(program.consts)
            return shapes

        def reset(key: Key, action: jax.Array, params: PyTree) -> Any:
            return self.reset_env(key, params)

        self.obs_struct, before = traced("reset_env", reset)
        obs, after, _, _, self.info_struct = traced("step_env", self.step_env, before)
        contract.check_same(self.name, "observation", self.obs_struct, obs, ("a reset", "a step"))
        contract.check_same(self.name, "state", before, after, ("a reset", "a step"))
        contract.check_counters(self.name, self.counters, self.info_struct)
        if twice:
            traced("reset_env", reset)
            info = traced("step_env", self.step_env, after)[4]
            contract.check_same(self.name, "info", self.info_struct, info, ("one step", "another"))
        traced("is_truncated", lambda key, state, action, params: self.is_truncated(state, params), after)
        if self.has_action_mask:
            mask = traced("action_mask", lambda key, state, action, params: self.action_mask(state, params), after)
            contract.check_mask(self.name, self.space, mask.shape)
