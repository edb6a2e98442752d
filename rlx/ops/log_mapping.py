"""Logarithmic value mapping (van Seijen, Fatemi and Tavakoli 2019, section 4), computed in the log domain.

A channel of log-mapped Q-learning learns ``y = c ln(q) + d`` in place of a value ``q >= 0``. The smallest value that it
can tell from zero is ``discount**k``, its floor. The floor underflows float32 long before the method's own settings do
(``0.5**200``), so everything here works on natural logarithms of values, ``log_value``, and never on the values.

The paper keeps values off zero in two ways, and ``kind`` chooses between them:

- ``"offset"``, of its linear experiments: ``log_value = ln(q + discount**k)``, exact down to ``q = 0``.
- ``"floor"``, of LogDQN: ``log_value = ln(max(q, discount**k))``.

Values stand for one channel: rewards are non-negative, the rewards of the other sign having a channel of their own.
"""

import math

import jax
import jax.numpy as jnp
from flax import struct

Scalar = float | jax.Array


@struct.dataclass
class LogMapping:
    """From values to what is learned and back; all fields but ``kind`` may be traced.

    Attributes:
        discount: of one step, in (0, 1).
        k: the floor is ``discount**k``; at least the longest delay of a reward in steps.
        c: scale of the learned space, above 0.
        initial_value: value that ``y = 0`` stands for, at least 0; with ``kind="floor"`` the floor at least.
        kind: ``"offset"`` or ``"floor"``.
    """

    discount: Scalar
    k: Scalar
    c: Scalar = 1.0
    initial_value: Scalar = 0.0
    kind: str = struct.field(pytree_node=False, default="offset")

    @property
    def log_floor(self) -> jax.Array:
        """``ln(g^k)``, the least value, with ``g`` the discount."""
        return self.k * jnp.log(self.discount)

    @property
    def log_initial(self) -> jax.Array:
        """The ``log_value`` of ``initial_value``, hence ``-d / c``."""
        return self.log_value(self.initial_value)

    def log_value(self, value: Scalar) -> jax.Array:
        """The ``log_value`` of values at least 0."""
        combine = jnp.logaddexp if self.kind == "offset" else jnp.maximum
        return combine(safe_log(value), self.log_floor)

    def forward(self, log_value: jax.Array) -> jax.Array:
        """``f(x) = c ln(x + g^k) + d`` with ``d = -c ln(q_init + g^k)``: what is learned for a ``log_value``."""
        return self.c * (log_value - self.log_initial)

    def inverse(self, y: jax.Array) -> jax.Array:
        """The ``log_value`` that ``y`` stands for: the logarithm of ``exp((y - d) / c)``."""
        return y / self.c + self.log_initial

    def value(self, y: jax.Array) -> jax.Array:
        """``f^-1(y) = exp((y - d) / c) - g^k``: the value that ``y`` stands for, as far as its dtype can hold it."""
        value = jnp.exp(self.inverse(y))
        return value - jnp.exp(self.log_floor) if self.kind == "offset" else value

    def log_target(
        self,
        reward: Scalar,
        next_log_value: jax.Array,
        terminated: Scalar,
        discount: Scalar,
        max_value: Scalar,
        log_floor: Scalar | None = None,
    ) -> jax.Array:
        """The ``log_value`` of the target ``U = reward + discount * next_value``, with no bootstrap after an end.

        Args:
            reward: this channel's, at least 0.
            next_log_value: of the next state under the action that both channels bootstrap with.
            terminated: bool, whether there is no next value.
            discount: of the bootstrap: ``discount**n`` after n rewards.
            max_value: a target above it is cut (``"offset"``), or the bootstrapped value is (``"floor"``).
            log_floor: least target of ``"floor"``, if not the mapping's own floor.
        """
        if self.kind == "offset":
            # With x = q + floor: U + floor = reward + discount x' + (1 - discount) floor, a sum without subtraction.
            rest = jnp.logaddexp(jnp.log(discount) + next_log_value, jnp.log1p(-discount) + self.log_floor)
            target = jnp.logaddexp(safe_log(reward), jnp.where(terminated, self.log_floor, rest))
            # U = min(r + g q(s', a*), M), with M the largest value
            return jnp.minimum(target, jnp.logaddexp(safe_log(max_value), self.log_floor))
        # U = max(g^k, r + g min(q(s', a*), M)), with M = 1 / (1 - g) in the paper
        bootstrap = jnp.log(discount) + jnp.minimum(next_log_value, safe_log(max_value))
        nothing = jnp.finfo(jnp.float32).min  # as good as -inf, but of two of these the sum would pass through a NaN
        target = jnp.logaddexp(safe_log(reward), jnp.where(terminated, nothing, bootstrap))
        return jnp.maximum(target, self.log_floor if log_floor is None else log_floor)


def average(log_value: jax.Array, log_target: jax.Array, step_size: Scalar) -> jax.Array:
    """``ln Uh``, ``Uh = q + beta_reg (U - q)``: the step in value space, which keeps averages unbiased.

    Args:
        log_value: current ``ln q``.
        log_target: ``ln U``.
        step_size: beta_reg, in (0, 1]; 1 returns ``log_target``.
    """
    return jnp.logaddexp(safe_log(1.0 - step_size) + log_value, jnp.log(step_size) + log_target)


def combined_q(log_positive: jax.Array, log_negative: jax.Array, axis: int = -1) -> jax.Array:
    """``Q = q+ - q-`` of one state, up to a positive factor: orders actions, and never underflows as a whole.

    Args:
        log_positive: ``log_value`` of the positive channel, float ``[..., A]``.
        log_negative: of the negative one, float ``[..., A]``.
        axis: of the actions.
    """
    largest = jnp.maximum(log_positive, log_negative).max(axis=axis, keepdims=True)
    return jnp.exp(log_positive - largest) - jnp.exp(log_negative - largest)


def log_gap(log_positive: jax.Array, log_negative: jax.Array, action_mask: jax.Array | None = None) -> jax.Array:
    """``ln`` of the action gap, the best ``Q = q+ - q-`` less the second best, however small the values are.

    Args:
        log_positive: ``log_value`` of the positive channel, float ``[..., A]``.
        log_negative: of the negative one, float ``[..., A]``.
        action_mask: bool ``[..., A]``, True where the action is valid; others do not count.

    Returns:
        float ``[...]``; infinite where fewer than two actions are valid. A gap that is lost to the rounding of values,
        such as that of a tie, counts as this rounding.
    """
    size = log_difference(log_positive, log_negative)
    # Ordered like Q, but by the logarithm of its size.
    order = jnp.sign(log_positive - log_negative) * (size - size.min(axis=-1, keepdims=True) + 1.0)
    if action_mask is not None:
        order = jnp.where(action_mask, order, -jnp.inf)
    action = jnp.arange(order.shape[-1])
    best = action == order.argmax(axis=-1, keepdims=True)
    others = jnp.where(best, -jnp.inf, order)
    second = action == others.argmax(axis=-1, keepdims=True)
    # Q - Q' = (q+ + q-') - (q+' + q-)
    of = lambda which, channel: jnp.max(channel, axis=-1, where=which, initial=-jnp.inf)  # noqa: E731
    more = jnp.logaddexp(of(best, log_positive), of(second, log_negative))
    less = jnp.logaddexp(of(second, log_positive), of(best, log_negative))
    return jnp.where(others.max(axis=-1) > -jnp.inf, log_difference(more, less), jnp.inf)


def log_difference(log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """``ln |a - b|`` of two positive numbers, from their logarithms; a difference lost to rounding counts as that."""
    share = -jnp.expm1(-jnp.abs(log_a - log_b))
    return jnp.maximum(log_a, log_b) + jnp.log(jnp.maximum(share, jnp.finfo(share.dtype).eps))


def split_reward(reward: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``r+ = max(r, 0)`` and ``r- = max(-r, 0)``: the rewards of the positive and the negative channel."""
    return jnp.maximum(reward, 0.0), jnp.maximum(-reward, 0.0)


def fitting_k(discount: float, delay: float) -> float:
    """The ``k`` for rewards that come up to ``delay`` steps late: the floor clears them, and is at most 0.017.

    Source: the authors' deep settings (k = 100 at a discount of 0.96 leaves a floor of 0.0169) and our own small runs;
    the paper itself sets k by hand.
    """
    return float(math.ceil(max(delay, math.log(0.017) / math.log(discount))))


def safe_log(x: Scalar) -> jax.Array:
    """``ln x``, and negative infinity at 0 without a gradient that is not a number."""
    positive = jnp.asarray(x) > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), -jnp.inf)
