"""How continuous actions are used: how large, how near their limits, how unsteady; in training and in evaluation.

Of actions as the task takes them, clipped to [-1, 1], each measure in the mean over their dimensions:

* ``action_size``: ``|a|``.
* ``action_above_half``, ``action_near_limit``: share of ``|a|`` above 0.5 and above `LIMIT`.
* ``action_change``: ``|a_t - a_(t-1)|`` within an episode, in the mean over steps that have one before them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.sums import Sum
from rlx.types import Box, EnvSpec, Timestep, Transition

LIMIT = 0.95
CHANGE = "action_change"
MEASURES = ("action_size", "action_above_half", "action_near_limit", CHANGE)


def measures(action: jax.Array, before: jax.Array, first: jax.Array) -> dict[str, jax.Array]:
    """The measures ``[...]``, by name in the order of `MEASURES`, of executed actions.

    Args:
        action: ``[..., D]``, as `executed`.
        before: the actions one step earlier.
        first: bool ``[...]``, whether there is none, and the change counts as 0.
    """
    size = jnp.abs(action)
    change = jnp.where(first, 0.0, jnp.abs(action - before).mean(-1))
    parts = (size.mean(-1), (size > 0.5).mean(-1), (size > LIMIT).mean(-1), change)
    return dict(zip(MEASURES, parts, strict=True))


def executed(action: jax.Array) -> jax.Array:
    """Actions as the task takes them."""
    return jnp.clip(action, -1.0, 1.0)


def measured(spec: EnvSpec) -> bool:
    """Whether there is anything to measure."""
    return isinstance(spec.action_space, Box)


@struct.dataclass
class ActionUse:
    """The account of a member's actions in the current logging window.

    Attributes:
        last: executed actions of the last step, ``[N, D]``.
        sums: over steps and environments, ``[4 + C + 2]``: the measures, what the task counts, steps, and those of them
            that have another before them.
        counters: names of what the task counts.
    """

    last: jax.Array
    sums: Sum
    counters: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def start(cls, spec: EnvSpec, num_envs: int) -> "ActionUse | None":
        """The account before the first step; ``None`` where actions are not continuous."""
        if not measured(spec):
            return None
        names = tuple(sorted(spec.counters))
        return cls(jnp.zeros((num_envs, *spec.action_shape)), Sum.zeros((6 + len(names),)), names)

    def after(self, start: Timestep, rollout: Transition) -> "ActionUse":
        """The account after a ``rollout`` ``[T, N]`` that began at ``start``."""
        action = executed(rollout.action)
        before = jnp.concatenate([self.last[None], action[:-1]])
        ended = rollout.terminated | rollout.truncated
        first = jnp.concatenate([(start.episode_step == 0)[None], ended[:-1]])
        terms = [*measures(action, before, first).values(), *(rollout.info[name] for name in self.counters)]
        terms += [jnp.ones(first.shape), ~first]
        sums = jnp.stack([jnp.asarray(term, jnp.float32).sum() for term in terms])
        return dataclasses.replace(self, last=action[-1], sums=self.sums.add(sums))

    def new_window(self, begins: jax.Array) -> "ActionUse":
        """The same, where ``begins``, a bool scalar, with sums of zero."""
        return dataclasses.replace(self, sums=self.sums.where(~begins))

    def totals(self) -> "ActionUse":
        """Without the last actions."""
        return dataclasses.replace(self, last=None)  # type: ignore[arg-type]

    def summary(self) -> dict[str, np.ndarray]:
        """Means of the logging window ``[M]`` by name, on the host; NaN where it holds no step."""
        sums = self.sums.on_host()
        steps, changes = sums[..., -2], sums[..., -1]
        names = [*MEASURES, *self.counters]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: sums[..., i] / (changes if name == CHANGE else steps) for i, name in enumerate(names)}
