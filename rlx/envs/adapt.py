"""One wrapper that gives every task the same face: rlx actions, one observation array, stable dtypes."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs.gymnax_api import Environment, spaces
from rlx.errors import ConfigurationError
from rlx.types import ActionSpace, Box, Discrete, Key, MultiDiscrete, PyTree

Decoder = Callable[[jax.Array], jax.Array]


class Adapted(Environment):
    """A task as agents see it; its state is the task's own.

    Actions: a bounded box of any shape becomes `rlx.types.Box`, a flat vector in [-1, 1] that is clipped and
    scaled to the bounds. With ``discretise=n`` it becomes ``n`` evenly spaced values from bound to bound:
    ``Discrete(n)`` in one dimension, ``MultiDiscrete((n,) * D)`` in more. Observations: a dictionary or tuple
    becomes one flat float32 vector, a scalar a vector of length 1; ``flatten`` makes a vector of an image.
    Rewards are float32, ``terminated`` is bool, and a state keeps its dtypes from reset to step, as the carry of
    a scan must.

    Attributes:
        inner: the task itself.
        space: the action space agents see.
        obs_struct: shape and dtype of an observation.
        info_struct: shapes and dtypes of ``info``.
        has_action_mask: whether the task has a method ``action_mask(state, params)``.
        counters: what the task names as its ``counters``: entries of ``info`` that count something in each step.

    Raises:
        ConfigurationError: if the action space cannot be adapted, the action mask does not fit it, or the
            observation or state changes its structure, a shape or a dtype in a step.
    """

    def __init__(self, inner: Environment, params: PyTree, *, discretise: int | None, flatten: bool) -> None:
        self.inner = inner
        self.space, self._decode = _adapt_actions(inner.name, inner.action_space(params), discretise)
        self.has_action_mask = hasattr(inner, "action_mask")
        self.counters: tuple[str, ...] = tuple(getattr(inner, "counters", ()))
        self._flatten = flatten
        self._check(params)

    @property
    def name(self) -> str:
        """The task's own name."""
        return self.inner.name

    def reset_env(self, key: Key, params: PyTree) -> tuple[jax.Array, PyTree]:
        """Draw a start state."""
        obs, state = self.inner.reset_env(key, params)
        return self._encode(obs), _strong(state)

    def step_env(
        self, key: Key, state: PyTree, action: jax.Array, params: PyTree
    ) -> tuple[jax.Array, PyTree, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step with an action of `space`."""
        obs, state, reward, terminated, info = self.inner.step_env(key, state, self._decode(action), params)
        return (
            self._encode(obs),
            _strong(state),
            _scalar(reward, jnp.float32),
            _scalar(terminated, bool),
            _strong(info),
        )

    def observe(self, key: Key, state: PyTree, action: jax.Array | None, params: PyTree) -> jax.Array:
        """The observation that belongs to ``state``."""
        return self._encode(self.inner.observe(key, state, action, params))

    def is_truncated(self, state: PyTree, params: PyTree) -> jax.Array:
        """Whether the task's own time limit is reached."""
        return _scalar(self.inner.is_truncated(state, params), bool)

    def action_mask(self, state: PyTree, params: PyTree) -> jax.Array:
        """The valid actions in ``state``: bool ``[A]``, or ``[sum(nvec)]`` component after component."""
        return jnp.asarray(self.inner.action_mask(state, params), bool)

    def action_space(self, params: PyTree) -> ActionSpace:
        """The action space agents see."""
        return self.space

    def observation_space(self, params: PyTree) -> spaces.Box:
        """The shape and dtype of observations, without bounds."""
        return spaces.Box(-jnp.inf, jnp.inf, self.obs_struct.shape, self.obs_struct.dtype)

    def _encode(self, obs: PyTree) -> jax.Array:
        if not jax.tree_util.all_leaves([obs]):
            return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(obs)])
        obs = _strong(obs)
        return jnp.ravel(obs) if self._flatten or obs.ndim == 0 else obs

    def _check(self, params: PyTree) -> None:
        """Trace one reset and one step, and keep the shapes that others need."""
        key = jax.random.key(0)
        action = _example_action(self.space)
        self.obs_struct, before = jax.eval_shape(lambda: self.reset_env(key, params))
        obs, after, _, _, self.info_struct = jax.eval_shape(
            lambda state: self.step_env(key, state, action, params), before
        )
        _check_same(self.name, "observation", self.obs_struct, obs)
        _check_counters(self.name, self.counters, self.info_struct)
        _check_same(self.name, "state", before, after)
        if self.has_action_mask:
            mask = jax.eval_shape(lambda state: self.action_mask(state, params), before)
            _check_mask(self.name, self.space, mask.shape)


def _adapt_actions(name: str, space: Any, discretise: int | None) -> tuple[ActionSpace, Decoder]:
    """The space agents see, and the function from its actions to the task's."""
    if isinstance(space, Box):
        space = spaces.Box(-1.0, 1.0, (space.size,))
    if isinstance(space, spaces.Box):
        size, scale = _scaling(name, space)
        if discretise is None:
            return Box(size), scale
        values = np.linspace(-1.0, 1.0, discretise, dtype=np.float32)
        factors = Discrete(discretise) if size == 1 else MultiDiscrete((discretise,) * size)
        return factors, lambda action: scale(jnp.asarray(values)[action].reshape(size))
    if discretise is not None:
        raise ConfigurationError(f"{name}: discretise is for continuous actions, but it has {space}; leave it out")
    if isinstance(space, spaces.Discrete):
        space = Discrete(int(space.n))
    if not isinstance(space, Discrete | MultiDiscrete):
        raise ConfigurationError(
            f"{name}: cannot adapt the action space {space}; "
            "for factored actions let action_space return rlx.types.MultiDiscrete"
        )
    return space, lambda action: action


def _scaling(name: str, space: spaces.Box) -> tuple[int, Decoder]:
    """The number of dimensions of a box, and the map from [-1, 1] in each of them onto it."""
    low = np.broadcast_to(np.asarray(space.low, np.float32), space.shape)
    high = np.broadcast_to(np.asarray(space.high, np.float32), space.shape)
    if not jnp.issubdtype(space.dtype, jnp.floating):
        raise ConfigurationError(f"{name}: a box of integers cannot be scaled; use rlx.types.MultiDiscrete")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ConfigurationError(f"{name}: the action space {space} needs finite bounds with low < high")
    # Centre and half-range, because in this form [-1, 1] maps onto itself exactly.
    centre, half_range = (low + high) / 2, (high - low) / 2

    def scale(action: jax.Array) -> jax.Array:
        chex.assert_shape(action, (low.size,))
        return jnp.clip(action, -1.0, 1.0).reshape(space.shape) * half_range + centre

    return low.size, scale


def _example_action(space: ActionSpace) -> jax.Array:
    match space:
        case Discrete():
            return jnp.zeros((), jnp.int32)
        case MultiDiscrete(nvec):
            return jnp.zeros(len(nvec), jnp.int32)
        case Box(size):
            return jnp.zeros(size)


def _scalar(value: Any, dtype: Any) -> jax.Array:
    return jnp.reshape(jnp.asarray(value, dtype), ())


def _strong(tree: PyTree) -> PyTree:
    """Make arrays of Python numbers and drop weak types, which would change the carry of a scan."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)


def _check_same(name: str, what: str, before: PyTree, after: PyTree) -> None:
    if jax.tree.structure(before) != jax.tree.structure(after):  # type: ignore[operator]
        raise ConfigurationError(f"{name}: the {what} has another structure after a step than after a reset")
    for (path, was), now in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            raise ConfigurationError(
                f"{name}: {what}{jax.tree_util.keystr(path)} is {was.dtype}{list(was.shape)} after a reset "
                f"but {now.dtype}{list(now.shape)} after a step; make them agree"
            )


def _check_counters(name: str, counters: tuple[str, ...], info: dict[str, Any]) -> None:
    for counter in counters:
        if counter not in info or info[counter].shape != ():
            raise ConfigurationError(f"{name}: counters names {counter!r}, but no number in its info is called that")


def _check_mask(name: str, space: ActionSpace, shape: tuple[int, ...]) -> None:
    match space:
        case Discrete(n):
            width = n
        case MultiDiscrete(nvec):
            width = sum(nvec)
        case Box():
            raise ConfigurationError(f"{name}: action_mask is for discrete actions, but its are continuous")
    if shape != (width,):
        raise ConfigurationError(f"{name}: action_mask has shape {list(shape)}; it must be [{width}]")
