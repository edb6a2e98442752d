"""Returns and advantages over one environment's rollout, with truncation told apart from termination.

Everything here takes time-major sequences ``[T]`` of a single environment; batches are the caller's
``jax.vmap`` (``in_axes=1, out_axes=1`` for rollouts ``[T, N]``). ``next_values[t]`` is the value of the state
that step ``t`` led to *before* any reset. It stands in for the future after a truncation and at the end of
the rollout; after a termination there is no future.
"""

import chex
import jax
import jax.numpy as jnp

from rlx.errors import ConfigurationError


def gae(
    rewards: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: float | jax.Array,
    trace_decay: float | jax.Array,
) -> jax.Array:
    """Generalised advantage estimates (Schulman et al. 2016, "High-Dimensional Continuous Control", eq. 16).

    ``A_t = delta_t + discount * trace_decay * A_{t+1}`` within an episode, where
    ``delta_t = r_t + discount * V(next_obs_t) - V(obs_t)``.

    Args:
        rewards: float [T].
        values: float [T], of the states acted in.
        next_values: float [T], of the states reached, before any reset.
        terminated: bool [T].
        truncated: bool [T].
        discount: scalar in [0, 1].
        trace_decay: scalar in [0, 1], the lambda of the paper.

    Returns:
        float [T].
    """
    _check_sequences((rewards, values, next_values), (terminated, truncated))
    td_errors = rewards + discount * jnp.where(terminated, 0.0, next_values) - values
    decays = jnp.where(terminated | truncated, 0.0, discount * trace_decay)
    return _accumulate(td_errors, decays, jnp.zeros_like(td_errors[-1]))


def lambda_returns(
    rewards: jax.Array,
    next_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: float | jax.Array,
    trace_decay: float | jax.Array,
) -> jax.Array:
    """TD(lambda) returns (Sutton and Barto 2018, eq. 12.18 in recursive form).

    ``G_t = r_t + discount * ((1 - trace_decay) * V(next_obs_t) + trace_decay * G_{t+1})`` within an episode.
    A ``trace_decay`` of 0 gives one-step targets, 1 gives discounted returns.

    Args:
        rewards: float [T].
        next_values: float [T], of the states reached, before any reset.
        terminated: bool [T].
        truncated: bool [T].
        discount: scalar in [0, 1].
        trace_decay: scalar in [0, 1].

    Returns:
        float [T].
    """
    _check_sequences((rewards, next_values), (terminated, truncated))
    bootstraps = jnp.where(truncated, 1.0, 1.0 - trace_decay) * next_values
    additions = rewards + discount * jnp.where(terminated, 0.0, bootstraps)
    decays = jnp.where(terminated | truncated, 0.0, discount * trace_decay)
    return _accumulate(additions, decays, next_values[-1])


def n_step_returns(
    rewards: jax.Array,
    next_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: float | jax.Array,
    n: int,
) -> jax.Array:
    """Returns of up to ``n`` rewards and a bootstrap (Sutton and Barto 2018, eq. 7.1).

    A window that meets the end of its episode or of the rollout stops there, and bootstraps unless the
    episode terminated.

    Args:
        rewards: float [T].
        next_values: float [T], of the states reached, before any reset.
        terminated: bool [T].
        truncated: bool [T].
        discount: scalar in [0, 1].
        n: longest window, at least 1.

    Returns:
        float [T].

    Raises:
        ConfigurationError: if ``n`` is less than 1.
    """
    if n < 1:
        raise ConfigurationError(f"n-step returns need n of at least 1, not {n}")
    _check_sequences((rewards, next_values), (terminated, truncated))
    one_step = rewards + discount * jnp.where(terminated, 0.0, next_values)
    stops = (terminated | truncated).at[-1].set(True)

    def lengthen(_: jax.Array, returns: jax.Array) -> jax.Array:
        return jnp.where(stops, one_step, rewards + discount * jnp.roll(returns, -1))

    # A loop and not n copies: long windows would make the program long.
    return jax.lax.fori_loop(1, min(n, len(rewards)), lengthen, one_step)


def _accumulate(additions: jax.Array, decays: jax.Array, last: jax.Array) -> jax.Array:
    """Solve ``x_t = additions_t + decays_t * x_{t+1}`` backwards from ``x_T = last``."""

    def step(following: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        addition, decay = inputs
        current = addition + decay * following
        return current, current

    _, solution = jax.lax.scan(step, last, (additions, decays), reverse=True)
    return solution


def _check_sequences(numbers: tuple[jax.Array, ...], flags: tuple[jax.Array, ...]) -> None:
    chex.assert_rank([*numbers, *flags], 1)
    chex.assert_equal_shape([*numbers, *flags])
    chex.assert_type([*numbers, *flags], [float] * len(numbers) + [bool] * len(flags))
