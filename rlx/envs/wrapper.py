"""What tasks around other tasks share: all that they do not change is the inner task's."""

from typing import Any

import jax

from rlx.envs import contract
from rlx.envs.gymnax_api import Environment
from rlx.types import Key, PyTree


class Wrapper(Environment):
    """A task around another one, in the unit of whose steps it counts.

    Attributes:
        inner: the task itself.
        counters: the task's own.
    """

    def __init__(self, inner: Environment) -> None:
        self.inner = inner
        self.counters: tuple[str, ...] = tuple(getattr(inner, "counters", ()))
        if hasattr(inner, "action_mask"):  # who has this method has a mask
            self.action_mask = lambda state, params: inner.action_mask(self.inner_state(state), params)

    def inner_state(self, state: PyTree) -> PyTree:
        """The inner task's part of a state, or of stacked ones: all of it."""
        return state

    @property
    def name(self) -> str:
        """The task's own name."""
        return self.inner.name

    @property
    def default_params(self) -> PyTree:
        """The task's own parameters."""
        return self.inner.default_params

    def observe(self, key: Key, state: PyTree, action: jax.Array | None, params: PyTree) -> PyTree:
        """The observation that belongs to ``state``."""
        return self.inner.observe(key, self.inner_state(state), action, params)

    def is_truncated(self, state: PyTree, params: PyTree) -> jax.Array:
        """Whether the task's own time limit is reached."""
        return contract.is_truncated(self.inner, self.inner_state(state), params)

    def action_space(self, params: PyTree) -> Any:
        """The task's own action space."""
        return self.inner.action_space(params)

    def observation_space(self, params: PyTree) -> Any:
        """The task's own observation space."""
        return self.inner.observation_space(params)
