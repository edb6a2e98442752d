"""Linear Q-learning and log-mapped Q-learning (van Seijen, Fatemi and Tavakoli 2019, sections 3 and 4).

Nothing acts here: a *sweep* updates every pair of state and action once, in random order, with one random outcome each.
A method is a frozen pytree of settings, and one program runs a whole scan of them, which all see the same outcomes.

The tables hold the learned values ``theta_a . phi(s)`` themselves. An update by ``delta`` moves the weights of action
``a`` by ``delta phi(s)``, hence the learned value of every state ``s'`` by ``delta phi(s) . phi(s')``: these inner
products say all that features can do, and weights matter in no other way. It is the same algorithm, without them.

Axes: ``P`` settings, ``C`` channels (one, or positive and negative rewards), ``A = 2`` actions, ``S`` states.
"""

from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.ops import log_mapping
from rlx.ops.log_mapping import LogMapping

Scalar = float | jax.Array


class Task(Protocol):
    """A finite task with two actions, one of which is executed; see `rlx.envs.finite_mdp`."""

    next_state: jax.Array
    reward: jax.Array | np.ndarray
    slip: Scalar


@struct.dataclass
class QLearning:
    """Q-learning, with a table ``[1, A, S]`` of values.

    Attributes:
        discount: of one step.
        spread: inner products of features, as `spread` lays them out, float ``[S, W]``.
        initial_value: of every pair before the first update.
        max_value: a target above it is cut; without, overlapping features and a step size of 1 diverge.
        alpha: step sizes at the start and, from sweep ``decay_sweeps`` on, at the end.
        decay_sweeps: sweeps over which step sizes decay geometrically.
    """

    num_channels: ClassVar[int] = 1

    discount: Scalar
    spread: jax.Array
    initial_value: Scalar = 0.0
    max_value: Scalar = 1.0
    alpha: tuple[Scalar, Scalar] = (1.0, 0.001)
    decay_sweeps: Scalar = 9_999.0

    @property
    def start(self) -> Scalar:
        """What the table starts with."""
        return self.initial_value

    def step_sizes(self, sweep: jax.Array) -> jax.Array:
        """``alpha`` in a sweep, ``[1]``."""
        return decayed(*self.alpha, self.decay_sweeps, sweep)[None]

    def change(
        self, value: jax.Array, next_values: jax.Array, reward: jax.Array, terminated: jax.Array, step_sizes: jax.Array
    ) -> jax.Array:
        """The update of one pair: ``alpha (U - Q(s, a))``.

        Args:
            value: of the pair, ``[1, ...]``; the axes that follow are those of the settings.
            next_values: of the next state, ``[1, A, ...]``.
            reward: scalar.
            terminated: bool scalar, whether there is no next state.
            step_sizes: of this sweep, ``[1, ...]``.

        Returns:
            float ``[1, ...]``.
        """
        bootstrap = jnp.where(terminated, 0.0, self.discount * next_values.max(axis=1))
        target = jnp.minimum(reward + bootstrap, self.max_value)  # U = min(r + g max_a Q(s', a), M)
        return step_sizes[0] * (target - value)

    def q_values(self, table: jax.Array) -> jax.Array:
        """Action values ``[A, S]``."""
        return table[0]


@struct.dataclass
class LogQLearning:
    """Log-mapped Q-learning, with a table ``[2, A, S]`` of ``y+`` and ``y-``, both 0 at the start.

    Attributes:
        discount: of one step, in (0, 1).
        spread: inner products of features, as `spread` lays them out, float ``[S, W]``.
        k: values far below ``discount**k`` count as zero; at least the longest delay of a reward in steps.
        c: scale of the log space.
        initial_value: that ``y = 0`` stands for.
        max_value: a target of either channel above it is cut.
        beta_reg: step sizes in value space, at the start and from sweep ``decay_sweeps`` on.
        beta_log: step sizes in log space, likewise.
        decay_sweeps: sweeps over which step sizes decay geometrically.
    """

    num_channels: ClassVar[int] = 2
    start: ClassVar[float] = 0.0

    discount: Scalar
    spread: jax.Array
    k: Scalar = 200.0
    c: Scalar = 1.0
    initial_value: Scalar = 0.0
    max_value: Scalar = 1.0
    beta_reg: tuple[Scalar, Scalar] = (1.0, 0.1)
    beta_log: tuple[Scalar, Scalar] = (1.0, 0.01)
    decay_sweeps: Scalar = 9_999.0

    @property
    def mapping(self) -> LogMapping:
        """``f`` and its inverse, ``f(x) = c ln(x + g^k) + d``."""
        return LogMapping(self.discount, self.k, self.c, self.initial_value, kind="offset")

    def step_sizes(self, sweep: jax.Array) -> jax.Array:
        """``beta_reg`` and ``beta_log`` in a sweep, ``[2]``."""
        sizes = (decayed(*beta, self.decay_sweeps, sweep) for beta in (self.beta_reg, self.beta_log))
        return jnp.stack(list(sizes))

    def change(
        self, value: jax.Array, next_values: jax.Array, reward: jax.Array, terminated: jax.Array, step_sizes: jax.Array
    ) -> jax.Array:
        """The update of one pair in both channels: ``beta_log (f(Uh) - y(s, a))``.

        Args:
            value: ``y`` of the pair, ``[2, ...]``; the axes that follow are those of the settings.
            next_values: ``y`` of the next state, ``[2, A, ...]``.
            reward: scalar.
            terminated: bool scalar, whether there is no next state.
            step_sizes: of this sweep, ``[2, ...]``.

        Returns:
            float ``[2, ...]``.
        """
        mapping = self.mapping
        log_value, log_next = mapping.inverse(value), mapping.inverse(next_values)  # ln(q + g^k)
        # a* = argmax_a q+(s', a) - q-(s', a), for both channels; a tie goes to action 1, as in the released code.
        q = log_mapping.combined_q(log_next[0], log_next[1], axis=0)
        bootstrap = jnp.where(q[0] > q[1], log_next[:, 0], log_next[:, 1])
        # U = min(r + g f^-1(y(s', a*)), M), of each channel's own reward
        rewards = jnp.stack(log_mapping.split_reward(reward)).reshape(2, *[1] * (value.ndim - 1))
        target = mapping.log_target(rewards, bootstrap, terminated, self.discount, self.max_value)
        # Uh = q + beta_reg (U - q): the average in value space
        averaged = log_mapping.average(log_value, target, step_sizes[0])
        # y += beta_log (f(Uh) - y): the step in log space
        return step_sizes[1] * (mapping.forward(averaged) - value)

    def q_values(self, table: jax.Array) -> jax.Array:
        """Action values ``q+ - q-`` ``[A, S]``, up to a positive factor of each state's own."""
        log_values = self.mapping.inverse(table)
        return log_mapping.combined_q(log_values[0], log_values[1], axis=0)

    def channel_values(self, table: jax.Array) -> jax.Array:
        """``q+`` and ``q-`` as far as float32 can hold them, ``[2, A, S]``."""
        return self.mapping.value(table)


Settings = QLearning | LogQLearning


def decayed(initial: Scalar, final: Scalar, decay_sweeps: Scalar, sweep: jax.Array) -> jax.Array:
    """Geometric decay by a constant factor a sweep, from ``initial`` at sweep 0 to ``final`` at ``decay_sweeps``."""
    progress = jnp.minimum(sweep / decay_sweeps, 1.0)
    return initial * (final / initial) ** progress
