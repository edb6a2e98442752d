"""What a learner did in the last steps, for feedback that comes later than what it is about."""

import jax
import jax.numpy as jnp
from flax import struct

from rlx.types import EnvSpec, MultiDiscrete, PyTree, Transition

LONGEST_DELAY = 16  # steps


@struct.dataclass
class Recent:
    """The last ``LONGEST_DELAY + 1`` steps of ``N`` environments, the newest first.

    Attributes:
        steps: leaves ``[LONGEST_DELAY + 1, N, ...]``.
        count: int32 ``[N]``, how many of them have been taken.
    """

    steps: PyTree
    count: jax.Array

    @classmethod
    def nothing(cls, example: PyTree, num_envs: int) -> "Recent":
        """Before the first step; ``example`` is one step of one environment."""
        zeros = lambda x: jnp.zeros((LONGEST_DELAY + 1, num_envs, *x.shape), x.dtype)  # noqa: E731
        return cls(jax.tree.map(zeros, example), jnp.zeros(num_envs, jnp.int32))

    def after(self, step: PyTree) -> "Recent":
        """With one step more, leaves ``[N, ...]``."""
        steps = jax.tree.map(lambda kept, new: jnp.concatenate([new[None], kept[:-1]]), self.steps, step)
        return Recent(steps, jnp.minimum(self.count + 1, LONGEST_DELAY + 1))

    def ago(self, delay: jax.Array) -> tuple[PyTree, jax.Array]:
        """The step ``delay`` steps before the newest, leaves ``[N, ...]``, and bool ``[N]`` whether there is one.

        Args:
            delay: int32 ``[N]``, of each environment.
        """
        chosen = jax.tree.map(lambda kept: jax.vmap(lambda row, d: row[d], (1, 0))(kept, delay), self.steps)
        return chosen, self.count > delay

    def forget(self, which: jax.Array) -> "Recent":
        """Without the steps of environments ``which``, bool ``[N]``."""
        return Recent(self.steps, jnp.where(which, 0, self.count))


def whole_steps(delay: float | jax.Array, lag: jax.Array) -> jax.Array:
    """A delay in steps, rounded, and feedback's own ``lag`` ``[N]`` beyond it; at most ``LONGEST_DELAY``."""
    return jnp.minimum(jnp.round(jnp.asarray(delay)).astype(jnp.int32) + lag, LONGEST_DELAY)


def example_mask(spec: EnvSpec) -> jax.Array | None:
    """An action mask of zeros; ``None`` where there is none."""
    if not spec.has_action_mask:
        return None
    width = sum(spec.nvec) if isinstance(spec.action_space, MultiDiscrete) else spec.nvec[0]
    return jnp.zeros(width, bool)


def lags_of(transition: Transition) -> tuple[jax.Array, jax.Array]:
    """Which trace feedback is meant for, and its lag, int32 ``[N]``: what a teacher says beside its value."""
    return transition.info["trace"], transition.info["lag"]
