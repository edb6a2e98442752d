from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.ops.returns import gae, lambda_returns, n_step_returns

# Two environments, [T, N] with T = 8. The first terminates at 2, is truncated at 4 and outlasts the rollout.
# The second is truncated at 1, terminates at 2 (an episode of one step) and is truncated at the last step.
REWARDS = np.array([[1, 2, -1, 0.5, 3, 0, 1, 2], [0.5, -2, 4, 1, 0, 0, -1, 3]], np.float32).T
VALUES = np.array([[2, 1, 0, -1, 4, 3, 2, 1], [1, 1, -2, 0.5, 2, 3, 1, 0]], np.float32).T
NEXT_VALUES = np.array([[1, 0, 9, 4, 7, 2, 1, 5], [1, 6, 8, 2, 3, 1, 0, -4]], np.float32).T
TERMINATED = np.array([[0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0]], bool).T
TRUNCATED = np.array([[0, 0, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 1]], bool).T
T, N = REWARDS.shape


advantages_of = jax.jit(jax.vmap(gae, in_axes=(1, 1, 1, 1, 1, None, None), out_axes=1))
returns_of = jax.jit(jax.vmap(lambda_returns, in_axes=(1, 1, 1, 1, None, None), out_axes=1))


def loop_windows(env, discount, n):
    """The return from every step, reward by reward."""
    returns = []
    for t in range(T):
        total, weight = 0.0, 1.0
        for k in range(t, min(t + n, T)):
            total += weight * REWARDS[k, env]
            weight *= discount
            if TERMINATED[k, env]:
                weight = 0.0
            if TERMINATED[k, env] or TRUNCATED[k, env]:
                break
        returns.append(total + weight * NEXT_VALUES[k, env])
    return np.array(returns)


def loop_lambda_returns(env, discount, trace_decay):
    """The weighted average of n-step returns, by its definition and not by recursion."""
    results = []
    for t in range(T):
        length = next((k - t + 1 for k in range(t, T) if TERMINATED[k, env] or TRUNCATED[k, env]), T - t)
        by_length = [loop_windows(env, discount, n)[t] for n in range(1, length + 1)]
        weights = [(1 - trace_decay) * trace_decay ** (n - 1) for n in range(1, length)]
        results.append(np.dot([*weights, trace_decay ** (length - 1)], by_length))
    return np.array(results)


def test_advantages_by_hand():
    # Discount and trace decay 1/2. The TD errors: 1 + 0.5 - 2, 2 + 0 - 1, -1 - 0 (terminated), 0.5 + 2 + 1,
    # 3 + 3.5 - 4 (truncated), 0 + 1 - 3, 1 + 0.5 - 2, 2 + 2.5 - 1 (end of the rollout).
    sequences = (x[:, 0] for x in (REWARDS, VALUES, NEXT_VALUES, TERMINATED, TRUNCATED))
    advantages = gae(*map(jnp.asarray, sequences), 0.5, 0.5)
    expected = [
        -0.5 + 0.25 * 0.75,
        1 - 0.25,
        -1,
        3.5 + 0.25 * 2.5,
        2.5,
        -2 + 0.25 * 0.375,
        -0.5 + 0.25 * 3.5,
        3.5,
    ]
    np.testing.assert_allclose(advantages, expected, atol=1e-6)


def test_lambda_returns_by_hand():
    rewards, next_values = jnp.array([1.0, 1.0, 1.0]), jnp.array([2.0, 4.0, 8.0])
    none, last = jnp.zeros(3, bool), jnp.array([False, False, True])
    # Discount and trace decay 1/2, from the back: 1 + 4 = 5, 1 + (2 + 2.5) / 2 = 3.25, 1 + (1 + 1.625) / 2.
    np.testing.assert_allclose(lambda_returns(rewards, next_values, none, none, 0.5, 0.5), [2.3125, 3.25, 5.0])
    np.testing.assert_allclose(lambda_returns(rewards, next_values, none, last, 0.5, 0.5), [2.3125, 3.25, 5.0])
    # Terminated at the end: 1, 1 + (2 + 0.5) / 2 = 2.25, 1 + (1 + 1.125) / 2.
    np.testing.assert_allclose(lambda_returns(rewards, next_values, last, none, 0.5, 0.5), [2.0625, 2.25, 1.0])


def test_n_step_returns_by_hand():
    rewards, next_values = jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.array([10.0, 20.0, 30.0, 40.0])
    ends, none = jnp.array([False, True, False, False]), jnp.zeros(4, bool)
    # n = 2, discount 1/2: the window from 0 ends with the episode, the one from 3 with the rollout.
    terminated = n_step_returns(rewards, next_values, ends, none, 0.5, 2)
    np.testing.assert_allclose(terminated, [1 + 1, 2, 4 + 4 + 10, 8 + 20])
    truncated = n_step_returns(rewards, next_values, none, ends, 0.5, 2)
    np.testing.assert_allclose(truncated, [1 + 1 + 5, 2 + 10, 4 + 4 + 10, 8 + 20])


@pytest.mark.parametrize(("discount", "trace_decay"), [(0.9, 0.7), (1.0, 1.0), (0.99, 0.0)])
def test_lambda_returns_match_their_definition(discount, trace_decay):
    returns = returns_of(REWARDS, NEXT_VALUES, TERMINATED, TRUNCATED, discount, trace_decay)
    for env in range(N):
        expected = loop_lambda_returns(env, discount, trace_decay)
        np.testing.assert_allclose(returns[:, env], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("discount", "trace_decay"), [(0.9, 0.7), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_match_discounted_sums_of_td_errors(discount, trace_decay):
    advantages = advantages_of(REWARDS, VALUES, NEXT_VALUES, TERMINATED, TRUNCATED, discount, trace_decay)
    for env in range(N):
        for t in range(T):
            expected, weight = 0.0, 1.0
            for k in range(t, T):
                future = 0.0 if TERMINATED[k, env] else discount * NEXT_VALUES[k, env]
                expected += weight * (REWARDS[k, env] + future - VALUES[k, env])
                weight *= discount * trace_decay
                if TERMINATED[k, env] or TRUNCATED[k, env]:
                    break
            np.testing.assert_allclose(advantages[t, env], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, T, 100])
def test_n_step_returns_match_a_loop(n):
    windows_of = jax.vmap(partial(n_step_returns, n=n), in_axes=(1, 1, 1, 1, None), out_axes=1)
    returns = windows_of(REWARDS, NEXT_VALUES, TERMINATED, TRUNCATED, 0.9)
    for env in range(N):
        np.testing.assert_allclose(returns[:, env], loop_windows(env, 0.9, n), rtol=1e-5, atol=1e-5)


def test_advantages_are_lambda_returns_less_values_where_values_agree():
    values = np.concatenate([VALUES, [[7.0, 8.0]]]).astype(np.float32)
    flags = TERMINATED, TRUNCATED
    next_values = np.where(TRUNCATED, NEXT_VALUES, values[1:])
    advantages = advantages_of(REWARDS, values[:-1], next_values, *flags, 0.9, 0.8)
    returns = returns_of(REWARDS, next_values, *flags, 0.9, 0.8)
    np.testing.assert_allclose(advantages, returns - values[:-1], rtol=1e-5, atol=1e-5)


def test_a_value_beyond_a_termination_does_not_matter():
    beyond = np.where(TERMINATED, np.inf, NEXT_VALUES).astype(np.float32)
    flags = TERMINATED, TRUNCATED
    np.testing.assert_array_equal(
        advantages_of(REWARDS, VALUES, beyond, *flags, 0.9, 0.7),
        advantages_of(REWARDS, VALUES, NEXT_VALUES, *flags, 0.9, 0.7),
    )
    np.testing.assert_array_equal(
        returns_of(REWARDS, beyond, *flags, 0.9, 0.7), returns_of(REWARDS, NEXT_VALUES, *flags, 0.9, 0.7)
    )


def test_bad_arguments_are_refused():
    rewards, none = jnp.zeros(3), jnp.zeros(3, bool)
    with pytest.raises(ConfigurationError, match="at least 1, not 0"):
        n_step_returns(rewards, rewards, none, none, 0.9, 0)
    with pytest.raises(AssertionError):
        gae(rewards, rewards, jnp.zeros(4), none, none, 0.9, 0.9)
    with pytest.raises(AssertionError):
        lambda_returns(rewards, rewards, jnp.zeros(3), none, 0.9, 0.9)
