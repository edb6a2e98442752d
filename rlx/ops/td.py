"""One-step targets for action values, and the loss on their errors.

All targets are for one transition, and no gradient flows through them. ``discount`` is whatever weighs the
bootstrap: a window of n rewards passes their discounted sum as ``reward`` and ``discount**n`` as
``discount``.
"""

import math

import chex
import jax
import jax.numpy as jnp
import optax


def td_target(
    reward: jax.Array, discount: float | jax.Array, terminated: jax.Array, next_value: jax.Array
) -> jax.Array:
    """Return ``reward + discount * next_value``, without the second term after a termination.

    Args:
        reward: scalar.
        discount: scalar in [0, 1].
        terminated: bool scalar; a truncation is none.
        next_value: scalar, of the state reached before any reset.

    Returns:
        float scalar.
    """
    chex.assert_rank([reward, discount, terminated, next_value], 0)
    chex.assert_type(terminated, bool)
    return jax.lax.stop_gradient(reward + discount * jnp.where(terminated, 0.0, next_value))


def q_target(
    reward: jax.Array,
    discount: float | jax.Array,
    terminated: jax.Array,
    next_q: jax.Array,
    next_action_mask: jax.Array | None = None,
) -> jax.Array:
    """The Q-learning target, which bootstraps with the best next action (van Hasselt et al. 2016, eq. 3).

    Args:
        reward: scalar.
        discount: scalar in [0, 1].
        terminated: bool scalar.
        next_q: float [A], of the state reached before any reset.
        next_action_mask: bool [A], True where the action is valid; a state without any has value 0.

    Returns:
        float scalar.
    """
    chex.assert_rank(next_q, 1)
    if next_action_mask is None:
        return td_target(reward, discount, terminated, next_q.max())
    chex.assert_equal_shape([next_q, next_action_mask])
    best = jnp.max(next_q, where=next_action_mask, initial=-jnp.inf)
    return td_target(reward, discount, terminated, jnp.where(next_action_mask.any(), best, 0.0))


def double_q_target(
    reward: jax.Array,
    discount: float | jax.Array,
    terminated: jax.Array,
    next_q_online: jax.Array,
    next_q_target: jax.Array,
    next_action_mask: jax.Array | None = None,
) -> jax.Array:
    """The double Q-learning target: one network chooses, the other values (van Hasselt et al. 2016, eq. 4).

    Args:
        reward: scalar.
        discount: scalar in [0, 1].
        terminated: bool scalar.
        next_q_online: float [A], which chooses the next action.
        next_q_target: float [A], which values it.
        next_action_mask: bool [A], True where the action is valid; a state without any has value 0.

    Returns:
        float scalar.
    """
    chex.assert_rank(next_q_online, 1)
    chex.assert_equal_shape([next_q_online, next_q_target])
    next_value = next_q_target[greedy_action(next_q_online, next_action_mask)]
    if next_action_mask is not None:
        next_value = jnp.where(next_action_mask.any(), next_value, 0.0)
    return td_target(reward, discount, terminated, next_value)


def ensemble_target(
    reward: jax.Array, discount: float | jax.Array, terminated: jax.Array, next_values: jax.Array
) -> jax.Array:
    """Bootstrap with the least of several critics (Fujimoto et al. 2018, eq. 10; Chen et al. 2021).

    Args:
        reward: scalar.
        discount: scalar in [0, 1].
        terminated: bool scalar.
        next_values: float [K], one estimate per critic.

    Returns:
        float scalar.
    """
    chex.assert_rank(next_values, 1)
    return td_target(reward, discount, terminated, next_values.min())


def greedy_action(q_values: jax.Array, action_mask: jax.Array | None = None) -> jax.Array:
    """The valid action of the highest value, the first of equals; action 0 where none is valid.

    Args:
        q_values: float [..., A].
        action_mask: bool [..., A], True where the action is valid.

    Returns:
        int32 [...].
    """
    if action_mask is not None:
        chex.assert_equal_shape([q_values, action_mask])
        q_values = jnp.where(action_mask, q_values, -jnp.inf)
    return jnp.argmax(q_values, axis=-1).astype(jnp.int32)


def log_gap(q_values: jax.Array, action_mask: jax.Array | None = None) -> jax.Array:
    """``ln`` of the action gap, the best value less the second best.

    Args:
        q_values: float [..., A].
        action_mask: bool [..., A], True where the action is valid; others do not count.

    Returns:
        float [...]; of the smallest float in a tie, and infinite where fewer than two actions are valid.
    """
    if action_mask is not None:
        chex.assert_equal_shape([q_values, action_mask])
        q_values = jnp.where(action_mask, q_values, -jnp.inf)
    others = jnp.arange(q_values.shape[-1]) != q_values.argmax(axis=-1, keepdims=True)
    second = jnp.max(q_values, axis=-1, where=others, initial=-jnp.inf)  # cheaper on CPU than to sort
    is_gap = second > -jnp.inf
    gap = q_values.max(axis=-1) - jnp.where(is_gap, second, 0.0)
    return jnp.where(is_gap, jnp.log(jnp.maximum(gap, jnp.finfo(gap.dtype).tiny)), jnp.inf)


def log_gap_deviation(log_gap: jax.Array) -> jax.Array:
    """Standard deviation over states of ``log10`` of the action gap.

    How unevenly gaps are spread: above about 1, function approximation with a low discount fails on the chain of van
    Seijen et al. (2019), whose measure this is after our reading.

    Args:
        log_gap: ``ln`` of the gaps, float [S]; infinite ones, of states without a choice, are left out.

    Returns:
        float scalar, in powers of ten; 0 where fewer than two gaps are left.
    """
    chex.assert_rank(log_gap, 1)
    is_gap = log_gap < jnp.inf
    number = jnp.maximum(is_gap.sum(), 1)
    gap = jnp.where(is_gap, log_gap, 0.0) / math.log(10.0)
    distance = jnp.where(is_gap, gap - gap.sum() / number, 0.0)
    return jnp.sqrt(jnp.square(distance).sum() / number)


def huber(error: jax.Array, delta: float | jax.Array) -> jax.Array:
    """``error**2 / 2`` up to ``delta``, beyond it a line of slope ``delta`` (Huber 1964); elementwise.

    Args:
        error: float [...].
        delta: where the line begins, above 0.

    Returns:
        float [...].
    """
    return optax.huber_loss(error, delta=delta)
