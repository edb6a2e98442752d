"""Variance of many-actions gradients: the paper's formulas against exhaustive enumeration and worked numbers."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.envs.linear_quadratic import LinearQuadraticParams, Solution
from rlx.errors import ConfigurationError
from rlx.ops import gradient_variance as gv
from rlx.ops.gradient_variance import Components

# Two states, two actions, two parameters; the action says much about the next state.
POLICY = np.array([[0.3, 0.7], [0.6, 0.4]])
TRANSITION = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.7, 0.3]]])
GRADIENTS = np.array([[[1.0, -2.0], [0.5, 3.0]], [[-1.5, 0.0], [2.0, 1.0]]])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def solution(gain=-0.5):
    return Solution(
        gain, 0.4, 0.9, LinearQuadraticParams(drift=0.8, control=1.0, noise=0.2, state_cost=1.0, action_cost=0.5)
    )


def exact(gain=-0.5, num_lags=63):
    return Components(*(jnp.asarray(leaf) for leaf in solution(gain).components(num_lags)))


@functools.cache
def enumerated_variance(num_actions, num_steps):
    """Variance of the estimate per parameter, over every trajectory with every action there can be."""
    law = np.array([0.5, 0.5])
    for _ in range(200):
        law = np.einsum("s,sa,sax->x", law, POLICY, TRANSITION)
    first, second = np.zeros(2), np.zeros(2)
    choices = list(itertools.product(range(2), repeat=num_actions))
    for states in itertools.product(range(2), repeat=num_steps):
        for actions in itertools.product(choices, repeat=num_steps):
            probability = law[states[0]]
            estimate = np.zeros(2)
            for step, (state, drawn) in enumerate(zip(states, actions, strict=True)):
                probability *= np.prod([POLICY[state, action] for action in drawn])
                if step + 1 < num_steps:
                    probability *= TRANSITION[state, drawn[0], states[step + 1]]
                estimate += np.mean([GRADIENTS[state, action] for action in drawn], axis=0) / num_steps
            first, second = first + probability * estimate, second + probability * estimate**2
    return second - first**2


def small_chain(num_lags=7):
    return gv.chain_components(*(jnp.asarray(leaf) for leaf in (GRADIENTS, POLICY, TRANSITION)), num_lags)


@pytest.mark.parametrize(("num_actions", "num_steps"), [(1, 1), (3, 1), (1, 2), (2, 2), (1, 4), (2, 3), (3, 2), (2, 4)])
def test_the_decomposition_is_the_variance_of_all_trajectories(num_actions, num_steps):
    found = gv.variance(small_chain(), num_actions, num_steps)
    np.testing.assert_allclose(found, enumerated_variance(num_actions, num_steps), rtol=1e-10)


def test_reductions_are_differences_of_enumerated_variances():
    chain = small_chain()
    change = enumerated_variance(3, 2) - enumerated_variance(2, 2)
    np.testing.assert_allclose(gv.action_change(chain, 2, 2), change, rtol=1e-10)
    change = enumerated_variance(2, 3) - enumerated_variance(2, 2)
    np.testing.assert_allclose(gv.step_change(chain, 2, 2, 0.5, exact_tail=True), change, rtol=1e-10)
    change = enumerated_variance(1, 4) - enumerated_variance(1, 2)
    np.testing.assert_allclose(gv.step_change(chain, 1, 2, 1.0, exact_tail=True), change, rtol=1e-10)


def test_the_parts_are_those_that_one_and_two_actions_tell_apart():
    split = gv.split_variances(enumerated_variance(1, 3), enumerated_variance(2, 3), 3)
    np.testing.assert_allclose(split, gv.parts(small_chain(), 3), rtol=1e-9)


def test_a_bandit():
    # States come up independently, and actions are equally likely.
    gradients = jnp.array([[1.0, -1.0], [3.0, 1.0]])
    chain = gv.chain_components(gradients, jnp.full((2, 2), 0.5), jnp.full((2, 2, 2), 0.5), 3)
    np.testing.assert_allclose([chain.state_variance, chain.action_variance], [1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose([chain.state_covariance, chain.action_covariance], 0.0, atol=1e-12)
    assert gv.bandit_bound(1, 0.5) == 0.5
    assert gv.bandit_bound(1, 0.25) == 1.5
    assert gv.bandit_bound(4, 0.25) == 0.0
    for delta, pays in ((0.5, False), (0.25, True)):
        left, right = gv.condition_sides(chain, 1, 4, delta)
        assert bool(left >= right) == pays


@pytest.mark.parametrize(
    ("num_actions", "num_steps", "expected"),
    [(1, 1, 0.9122020952), (1, 4, 0.2332050921), (2, 4, 0.1169606691), (1, 8, 0.1170905919)],
)
def test_variances_of_the_linear_quadratic_task(num_actions, num_steps, expected):
    np.testing.assert_allclose(gv.variance(exact(), num_actions, num_steps), expected, atol=5e-11)


@pytest.mark.parametrize(
    ("num_steps", "sides", "pays"),
    [
        (2, (0.0064672605, 0.0027310277), True),
        (4, (0.0038942609, 0.0028649846), True),
        (8, (0.0019524388, 0.0029330525), False),
    ],
)
def test_a_second_action_or_a_second_trajectory(num_steps, sides, pays):
    np.testing.assert_allclose(gv.theorem_sides(exact(), num_steps), sides, atol=5e-11)
    assert (gv.variance(exact(), 2, num_steps) <= gv.variance(exact(), 1, 2 * num_steps)) == pays
    left, right = gv.condition_sides(exact(), 1, num_steps, 1.0)
    assert bool(left >= right) == pays


def test_the_general_condition_and_both_reductions():
    np.testing.assert_allclose(gv.condition_sides(exact(), 1, 8, 0.25), (1.4037569645, 0.0028785911), atol=5e-11)
    np.testing.assert_allclose(gv.action_change(exact(), 1, 8), -0.0583619802, atol=5e-11)
    np.testing.assert_allclose(gv.step_change(exact(), 1, 8, 0.25), -0.0233400208, atol=5e-11)
    np.testing.assert_allclose([gv.variance(exact(), 2, 8)], 0.0587286, atol=5e-8)
    np.testing.assert_allclose([gv.variance(exact(), 1, 16)], 0.0586673, atol=5e-8)


@pytest.mark.parametrize("gain", [-0.5, 0.1])
@pytest.mark.parametrize(("num_actions", "num_steps", "delta"), [(1, 4, 1.0), (3, 8, 0.25), (2, 8, 0.5)])
def test_the_condition_compares_the_reductions(gain, num_actions, num_steps, delta):
    left, right = gv.condition_sides(exact(gain), num_actions, num_steps, delta)
    change = gv.step_change(exact(gain), num_actions, num_steps, delta)
    gained = change - gv.action_change(exact(gain), num_actions, num_steps)
    np.testing.assert_allclose(left - right, gained * (1 + delta) * num_steps / delta, rtol=1e-10)


def test_the_tail_counts_where_the_chain_remembers():
    chain = exact(gain=0.1)  # A + B K = 0.9
    change = gv.variance(chain, 2, 12) - gv.variance(chain, 2, 8)
    np.testing.assert_allclose(gv.step_change(chain, 2, 8, 0.5, exact_tail=True), change, rtol=1e-10)
    without = gv.step_change(chain, 2, 8, 0.5)
    assert without < 1.05 * change < 0  # the paper's form promises more than there is to gain


def test_counts_may_be_traced():
    traced = jax.jit(lambda n, t, delta: (gv.variance(exact(), n, t), gv.step_change(exact(), n, t, delta)))(2, 4, 0.5)
    np.testing.assert_allclose(traced, (gv.variance(exact(), 2, 4), gv.step_change(exact(), 2, 4, 0.5)), rtol=1e-12)


def test_a_batch_worked_by_hand():
    # Means of states 2 and 5, of all 3.5; within states variances 2 and 0.
    batch = jnp.array([[[1.0, 3.0], [5.0, 5.0]]])
    found = gv.estimate_components(batch, 1)
    # In the first state the other action lies 0.5 below the mean and the executed one 2 below it; the next 1.5 above.
    np.testing.assert_allclose([found.action_variance, found.state_variance], [1.0, 2.25 - 0.5])
    np.testing.assert_allclose([found.state_covariance, found.action_covariance], [[-0.75], [-3.0]])
    # M = 1.75 - 0.75, P = 1 - 3.
    for copies in (1, 2):
        diagnosis = gv.diagnose(jnp.repeat(batch, copies, axis=0)[..., None], 1.0, 1)
        np.testing.assert_allclose(diagnosis.variance, 0.0, atol=1e-12)
        np.testing.assert_allclose(diagnosis.action_gain, -1 / 6 / copies)
        # 1 / 4 {1.75 + 1 / 2 + 2 (1 / 2 - 1 / 4) (-0.75 - 3 / 2)}
        np.testing.assert_allclose(diagnosis.step_gain, 0.28125 / copies)
        assert not diagnosis.more_actions_pay


def test_gains_add_up_over_parameters():
    batch = jax.random.normal(jax.random.key(0), (2, 6, 3, 2))
    both = gv.diagnose(batch, 0.5, 2)
    each = [gv.diagnose(batch[..., index : index + 1], 0.5, 2) for index in range(2)]
    for name in ("variance", "action_gain", "step_gain"):
        np.testing.assert_allclose(getattr(both, name), sum(getattr(one, name) for one in each), rtol=1e-10)


def walk(num_trajectories, num_steps, num_actions, rng):
    """On-policy gradients ``[B, T, N, 2]`` of the small chain, after enough steps to forget the start."""
    state, batch = np.zeros(num_trajectories, int), []
    for step in range(20 + num_steps):
        drawn = (rng.random((num_trajectories, num_actions)) > POLICY[state, :1]).astype(int)
        if step >= 20:
            batch.append(GRADIENTS[state[:, None], drawn])
        state = (rng.random(num_trajectories) > TRANSITION[state, drawn[:, 0], 0]).astype(int)
    return np.stack(batch, axis=1)


def test_components_are_found_in_a_batch():
    batch = jnp.asarray(walk(400, 500, 3, np.random.default_rng(0)))
    found, true = gv.estimate_components(batch, 3), small_chain(3)
    # Standard errors are about 0.007: 200,000 states, all products of the order of 1.
    for name in ("state_variance", "action_variance", "state_covariance", "action_covariance"):
        np.testing.assert_allclose(getattr(found, name), getattr(true, name), atol=0.02, err_msg=name)
    assert np.abs(true.action_covariance[0]).min() > 0.09  # so that the tolerance means something


@pytest.mark.parametrize("given", [2, 5])
@pytest.mark.parametrize("delta", [0.1, 0.9])
def test_the_diagnosis_finds_the_true_gains(delta, given):
    """Of a gradient over two actions, whether or not there are more to estimate it from."""
    batch = jnp.asarray(walk(100, 1000, given, np.random.default_rng(1)))
    found = gv.diagnose(batch, delta, 6, num_actions=2)
    true = small_chain(10)
    expected = gv.variance(true, 2, 1000), -gv.action_change(true, 2, 1000), -gv.step_change(true, 2, 1000, delta)
    expected = [per_parameter.sum() / 100 for per_parameter in expected]
    np.testing.assert_allclose((found.variance, found.action_gain, found.step_gain), expected, rtol=0.03)
    assert bool(found.more_actions_pay) == (delta < 0.5)


@pytest.mark.parametrize(
    ("shape", "num_lags", "message"),
    [
        ((1, 8, 1, 2), 2, "at least 2 actions"),
        ((1, 8, 2, 2), 8, "longer than the 8 steps"),
        ((1, 8, 2, 2), -1, "lags=-1"),
    ],
)
def test_refusals(shape, num_lags, message):
    with pytest.raises(ConfigurationError, match=message):
        gv.diagnose(jnp.zeros(shape), 0.5, num_lags)
