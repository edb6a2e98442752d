"""The linear-quadratic task, and its closed forms against worked numbers, quadrature and simulation."""

import itertools

import jax
import numpy as np
import pytest

from rlx.envs.api import make_env
from rlx.envs.linear_quadratic import LinearQuadraticParams, LinearQuadraticState, Solution, lambda_slope
from rlx.errors import ConfigurationError
from rlx.ops import gradient_variance
from rlx.ops.gradient_variance import Components
from rlx.types import Box

TASK = LinearQuadraticParams(drift=0.8, control=1.0, noise=0.2, state_cost=1.0, action_cost=0.5)
SOLVED = Solution(-0.5, 0.4, 0.9, TASK)
# Gauss-Hermite nodes of a standard normal number: exact for polynomials up to degree 11.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(6)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def normal(count):
    """Nodes ``count x [6 ** count]`` and weights of independent standard normal numbers."""
    nodes = np.array(list(itertools.product(NODES, repeat=count))).T
    return nodes, np.prod(list(itertools.product(WEIGHTS, repeat=count)), axis=1)


def one_step(state, action, **options):
    env = make_env("rlx/linear-quadratic", **options)
    before = LinearQuadraticState(time=np.int32(3), position=np.float32(state))
    return env.task.step_env(jax.random.key(0), before, np.array([action], np.float32), env.params)


def test_a_step():
    obs, state, reward, terminated, _ = one_step(0.5, 0.25, noise=0.0, **{"max_action": 2.0})
    # The action 0.25 of 2 is 0.5: 0.9 x 0.5 + 0.5 x 0.5, paid 0.25 + 0.1 x 0.25.
    np.testing.assert_allclose(obs, [0.7], rtol=1e-6)
    np.testing.assert_allclose(reward, -0.275, rtol=1e-6)
    assert int(state.time) == 4
    assert not terminated


def test_what_an_agent_is_told():
    env = make_env("rlx/linear-quadratic", drift=1.1, max_episode_steps=50)
    assert env.spec.action_space == Box(1)
    assert env.spec.obs_shape == (1,)
    assert env.spec.max_episode_steps == 50
    assert env.params.drift == 1.1


def test_start_states_and_noise():
    env = make_env("rlx/linear-quadratic", start_deviation=2.0)
    keys = jax.random.split(jax.random.key(1), 8_000)
    obs, state = jax.vmap(env.task.reset_env, (0, None))(keys, env.params)
    # Standard errors: of the mean 0.022, of the deviation 0.016.
    np.testing.assert_allclose([obs.mean(), obs.std()], [0.0, 2.0], atol=0.08)
    moved, *_ = jax.vmap(env.task.step_env, (0, 0, None, None))(keys[::-1], state, np.zeros(1, np.float32), env.params)
    left = np.asarray(moved - 0.9 * obs)
    np.testing.assert_allclose([left.mean(), left.std()], [0.0, 0.3], atol=0.012)


def test_closed_forms_are_the_worked_numbers():
    found = {
        "closed_loop": 0.3,
        "curvature": 1.2241566921,
        "offset": 3.0034820457,
        "state_variance": 0.2197802198,
        "action_curvature": 1.6017410229,
        "slope": 0.0805223069,
        "gradient": -0.0353944206,
    }
    np.testing.assert_allclose([getattr(SOLVED, name) for name in found], list(found.values()), atol=5e-11)
    m, e, alpha_e, alpha = SOLVED.components(4)
    np.testing.assert_allclose([m, e], [0.0025055300, 0.9096965652], atol=5e-11)
    np.testing.assert_allclose(alpha_e[0], 2.25497702e-4, rtol=1e-8)
    np.testing.assert_allclose(alpha[0], 0.01270902, atol=5e-9)


def test_the_discounted_objective():
    np.testing.assert_allclose(SOLVED.objective(1.0), -4.2276387378, atol=5e-11)
    np.testing.assert_allclose(SOLVED.objective_gradient(1.0), -0.4906691169, atol=5e-11)
    step = 1e-5
    above, below = (Solution(-0.5 + change, 0.4, 0.9, TASK).objective(1.0) for change in (step, -step))
    np.testing.assert_allclose((above - below) / (2 * step), SOLVED.objective_gradient(1.0), rtol=1e-8)


@pytest.mark.parametrize("state", [-1.3, 0.0, 0.7])
def test_values_and_advantages_solve_bellmans_equation(state):
    noise, weights = normal(1)

    def action_value(draw):
        action = SOLVED.gain * state + SOLVED.deviation * draw
        reached = TASK.drift * state + TASK.control * action + TASK.noise * noise[0]
        return -(state**2 + 0.5 * action**2) + 0.9 * weights @ SOLVED.value(reached)

    values = np.array([action_value(draw) for draw in NODES])
    np.testing.assert_allclose(WEIGHTS @ values, SOLVED.value(state), rtol=1e-10)
    np.testing.assert_allclose(values - SOLVED.value(state), SOLVED.advantage(state, NODES), rtol=1e-9, atol=1e-9)


def test_the_score_is_the_derivative_of_the_log_probability():
    def log_probability(gain, state, action):
        return -0.5 * ((action - gain * state) / SOLVED.deviation) ** 2

    state, draw, step = 0.7, -1.2, 1e-6
    action = SOLVED.gain * state + SOLVED.deviation * draw
    above, below = (log_probability(SOLVED.gain + change, state, action) for change in (step, -step))
    np.testing.assert_allclose((above - below) / (2 * step), SOLVED.score(state, draw), rtol=1e-7)


def test_components_are_moments_of_the_gradient():
    (state, draw), weights = normal(2)
    state = state * np.sqrt(SOLVED.state_variance)
    samples = SOLVED.score(state, draw) * SOLVED.advantage(state, draw)
    mean = -2 * SOLVED.slope * state**2
    m, e, alpha_e, alpha = SOLVED.components(2)
    np.testing.assert_allclose(weights @ samples, SOLVED.gradient, rtol=1e-10)
    np.testing.assert_allclose(weights @ (mean - SOLVED.gradient) ** 2, m, rtol=1e-10)
    np.testing.assert_allclose(weights @ (samples - mean) ** 2, e, rtol=1e-10)
    # What follows on average: E[s_1^2 | s_0, a_0], and from there E[s_2^2].
    first = (SOLVED.closed_loop * state + TASK.control * SOLVED.deviation * draw) ** 2 + TASK.noise**2
    second = SOLVED.closed_loop**2 * first + SOLVED.spread
    for lag, square in enumerate((first, second)):
        later = -2 * SOLVED.slope * square - SOLVED.gradient
        np.testing.assert_allclose(weights @ ((mean - SOLVED.gradient) * later), alpha_e[lag], rtol=1e-9)
        np.testing.assert_allclose(weights @ ((samples - mean) * later), alpha[lag], rtol=1e-9)


@pytest.mark.parametrize(("num_actions", "num_steps"), [(1, 4), (2, 4), (1, 8)])
def test_simulated_trajectories_have_the_variance_of_the_closed_form(num_actions, num_steps):
    rng = np.random.default_rng(0)
    state = np.sqrt(SOLVED.state_variance) * rng.standard_normal(200_000)
    total = np.zeros_like(state)
    for _ in range(num_steps):
        draws = rng.standard_normal((num_actions, state.size))
        total += (SOLVED.score(state, draws) * SOLVED.advantage(state, draws)).mean(axis=0)
        action = SOLVED.gain * state + SOLVED.deviation * draws[0]
        state = TASK.drift * state + TASK.control * action + TASK.noise * rng.standard_normal(state.size)
    expected = gradient_variance.variance(Components(*map(np.asarray, SOLVED.components(8))), num_actions, num_steps)
    np.testing.assert_allclose((total / num_steps).var(), expected, rtol=0.03)


def test_a_wrong_model_s_worked_numbers():
    slopes = SOLVED.model_slopes(0.85, 1.0, horizon=3)
    np.testing.assert_allclose(slopes, [0.1356093580, 863939 / 5881600, 0.1481319496], atol=5e-11)
    np.testing.assert_allclose(lambda_slope(slopes, 0.95), 0.1474467529, atol=5e-11)
    simulated = -2 * lambda_slope(slopes, 0.95) * SOLVED.state_variance
    np.testing.assert_allclose(simulated, -0.0648117595, atol=5e-11)
    bias = SOLVED.action_simulation_gradient(slopes, 0.95, num_actions=8) - SOLVED.gradient
    np.testing.assert_allclose(bias, -0.0261487457, atol=5e-11)
    found = SOLVED.state_simulation_gradient(0.85, 1.0, horizon=3, trace_decay=0.95, num_states=2)
    np.testing.assert_allclose(found - SOLVED.gradient, -0.0111731279, atol=5e-11)


def test_with_the_true_model_only_simulated_states_are_biased():
    slopes = SOLVED.model_slopes(0.8, 1.0, horizon=3)
    np.testing.assert_allclose(SOLVED.action_simulation_gradient(slopes, 0.95, 8), SOLVED.gradient, rtol=1e-12)
    found = SOLVED.state_simulation_gradient(0.8, 1.0, horizon=3, trace_decay=0.95, num_states=2)
    np.testing.assert_allclose(found - SOLVED.gradient, 0.0044877766, atol=5e-11)


def test_a_wrong_model_s_gradients_are_means_over_its_rollouts():
    drift, control, trace_decay, horizon = 0.85, 0.9, 0.7, 3
    draws, weights = normal(1 + horizon)
    states, errors = [np.sqrt(SOLVED.state_variance) * draws[0]], []
    for draw in draws[1:]:
        action = SOLVED.gain * states[-1] + SOLVED.deviation * draw
        states.append(drift * states[-1] + control * action)
        reward = -(states[-2] ** 2 + 0.5 * action**2)
        errors.append(reward + 0.9 * SOLVED.value(states[-1]) - SOLVED.value(states[-2]))
    means = []
    for first in range(horizon):
        advantage = sum((0.9 * trace_decay) ** (later - first) * errors[later] for later in range(first, horizon))
        means.append(weights @ (SOLVED.score(states[first], draws[1 + first]) * advantage))
    slopes = SOLVED.model_slopes(drift, control, horizon)
    simulated_actions = SOLVED.action_simulation_gradient(slopes, trace_decay, num_actions=3)
    np.testing.assert_allclose(simulated_actions, (SOLVED.gradient + 3 * means[0]) / 4, rtol=1e-9)
    simulated_states = SOLVED.state_simulation_gradient(drift, control, horizon, trace_decay, num_states=2)
    np.testing.assert_allclose(simulated_states, (SOLVED.gradient + means[1] + means[2]) / 3, rtol=1e-9)


def test_models_are_stacked():
    stacked = SOLVED.model_slopes(np.array([0.8, 0.85]), np.array([1.0, 0.9]), horizon=4)
    np.testing.assert_allclose(stacked[1], SOLVED.model_slopes(0.85, 0.9, horizon=4), rtol=1e-12)
    found = SOLVED.state_simulation_gradient(np.array([0.8, 0.85]), np.array([1.0, 0.9]), 3, 0.95, 2)
    np.testing.assert_allclose(found[1], SOLVED.state_simulation_gradient(0.85, 0.9, 3, 0.95, 2), rtol=1e-12)


def test_a_state_that_grows_is_refused():
    with pytest.raises(ConfigurationError, match=r"gain=0\.3 makes the state grow: A \+ B gain is 1\.1"):
        Solution(0.3, 0.4, 0.9, TASK)
