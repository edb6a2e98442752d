import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.td import (
    double_q_target,
    ensemble_target,
    greedy_action,
    huber,
    log_gap,
    log_gap_deviation,
    q_target,
    td_target,
)

LIVE, DEAD = jnp.array(False), jnp.array(True)
NEXT_Q = jnp.array([1.0, 5.0, 3.0])


def test_td_target():
    np.testing.assert_allclose(td_target(1.0, 0.5, LIVE, 6.0), 4.0)
    np.testing.assert_allclose(td_target(1.0, 0.5, DEAD, 6.0), 1.0)
    np.testing.assert_allclose(td_target(1.0, 0.5, DEAD, jnp.inf), 1.0)


def test_q_target_takes_the_best_valid_action():
    np.testing.assert_allclose(q_target(1.0, 0.5, LIVE, NEXT_Q), 3.5)
    np.testing.assert_allclose(q_target(1.0, 0.5, LIVE, NEXT_Q, jnp.array([True, False, True])), 2.5)
    np.testing.assert_allclose(q_target(1.0, 0.5, LIVE, -NEXT_Q, jnp.array([False, True, False])), -1.5)
    np.testing.assert_allclose(q_target(1.0, 0.5, LIVE, NEXT_Q, jnp.zeros(3, bool)), 1.0)
    np.testing.assert_allclose(q_target(1.0, 0.5, DEAD, NEXT_Q), 1.0)


def test_double_q_target_chooses_online_and_values_by_target():
    values = jnp.array([10.0, 20.0, 40.0])
    np.testing.assert_allclose(double_q_target(1.0, 0.5, LIVE, NEXT_Q, values), 11.0)
    mask = jnp.array([True, False, True])
    np.testing.assert_allclose(double_q_target(1.0, 0.5, LIVE, NEXT_Q, values, mask), 21.0)
    np.testing.assert_allclose(double_q_target(1.0, 0.5, LIVE, NEXT_Q, values, jnp.zeros(3, bool)), 1.0)
    np.testing.assert_allclose(double_q_target(1.0, 0.5, DEAD, NEXT_Q, values), 1.0)


def test_ensemble_target_takes_the_least():
    np.testing.assert_allclose(ensemble_target(1.0, 0.5, LIVE, jnp.array([4.0, -2.0, 3.0])), 0.0)
    np.testing.assert_allclose(ensemble_target(1.0, 0.5, DEAD, jnp.array([4.0, -2.0, 3.0])), 1.0)


def test_no_gradient_flows_through_targets():
    def total(reward, q):
        return (
            td_target(reward, 0.9, LIVE, q[0])
            + q_target(reward, 0.9, LIVE, q)
            + double_q_target(reward, 0.9, LIVE, q, q)
            + ensemble_target(reward, 0.9, LIVE, q)
        )

    reward_gradient, q_gradient = jax.grad(total, argnums=(0, 1))(1.0, NEXT_Q)
    assert reward_gradient == 0.0
    np.testing.assert_array_equal(q_gradient, np.zeros(3))


def test_targets_under_jit_and_vmap():
    rewards, terminated = jnp.array([1.0, 2.0]), jnp.array([False, True])
    batched = jax.jit(jax.vmap(q_target, in_axes=(0, None, 0, 0, 0)))
    mask = jnp.array([[True, True, False], [True, True, True]])
    targets = batched(rewards, 0.5, terminated, jnp.stack([NEXT_Q, NEXT_Q]), mask)
    np.testing.assert_allclose(targets, [3.5, 2.0])


def test_greedy_action():
    q_values = jnp.array([[1.0, 5.0, 3.0], [-1.0, -5.0, -3.0], [2.0, 2.0, 0.0]])
    mask = jnp.array([[True, False, True], [False, True, False], [False, False, False]])
    np.testing.assert_array_equal(greedy_action(q_values), [1, 0, 0])
    np.testing.assert_array_equal(greedy_action(q_values, mask), [2, 1, 0])
    assert greedy_action(q_values).dtype == jnp.int32


def test_huber():
    errors = jnp.array([0.0, 1.0, -2.0, 5.0, -5.0])
    np.testing.assert_allclose(huber(errors, 2.0), [0.0, 0.5, 2.0, 8.0, 8.0])
    slopes = jax.vmap(jax.grad(huber), in_axes=(0, None))(jnp.array([0.5, -1.5, 5.0, -5.0]), 2.0)
    np.testing.assert_allclose(slopes, [0.5, -1.5, 2.0, -2.0])


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError):
        td_target(jnp.zeros(2), 0.9, LIVE, 0.0)
    with pytest.raises(AssertionError):
        td_target(0.0, 0.9, jnp.array(1.0), 0.0)
    with pytest.raises(AssertionError):
        q_target(0.0, 0.9, LIVE, jnp.zeros((2, 3)))
    with pytest.raises(AssertionError):
        double_q_target(0.0, 0.9, LIVE, jnp.zeros(3), jnp.zeros(2))


def test_the_action_gap():
    """The best less the second best of those that are valid; with fewer than two there is no choice, and no gap."""
    q_values = jnp.array([[1.0, 9.0, 5.0], [-2.0, -2.0, -7.0]])
    np.testing.assert_allclose(log_gap(q_values), [np.log(4.0), np.log(np.finfo(np.float32).tiny)], rtol=1e-6)
    mask = jnp.array([[True, False, True], [False, True, True]])
    np.testing.assert_allclose(log_gap(q_values, mask), np.log([4.0, 5.0]), rtol=1e-6)
    mask = jnp.array([[False, True, False], [False, False, False]])
    assert log_gap(q_values, mask).tolist() == [np.inf, np.inf]
    assert log_gap(jnp.ones((2, 1))).tolist() == [np.inf, np.inf]


def test_how_unevenly_gaps_are_spread():
    """In powers of ten, over the states with a choice."""
    gaps = jnp.log(jnp.array([1e-3, 1e1, jnp.inf, 1e-1]))
    np.testing.assert_allclose(log_gap_deviation(gaps), np.std([-3.0, 1.0, -1.0]), rtol=1e-6)
    assert log_gap_deviation(jnp.array([2.0])) == 0.0
    assert log_gap_deviation(jnp.full(4, jnp.inf)) == 0.0
