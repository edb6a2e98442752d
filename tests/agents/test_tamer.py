import jax.numpy as jnp
import numpy as np
import pytest
from taught import KEY, learned, lesson

from rlx.agents.tamer import TAMER
from rlx.ops.credit import uniform_credit
from rlx.types import Discrete, EnvSpec, Timestep

SPEC = EnvSpec("toy", (3,), "float32", Discrete(2), None, has_feedback=True)
STATES = np.eye(3)


def model(agent, states, actions, feedback, **about):
    """``H`` ``[3, 2]`` after these steps."""
    return np.asarray(
        learned(agent, agent.init(KEY), lesson(STATES[list(states)], actions, feedback, **about)).params["params"][
            "head"
        ]["kernel"]
    )


def test_credit_is_the_probability_of_the_delay():
    """Oracle 9."""
    found = [uniform_credit(1.0, 1.3, time, 0.2, 0.8) for time in (1.6, 1.3, 2.2)]
    np.testing.assert_allclose(found, [0.5, 0.1 / 0.6, 0.0], atol=1e-6)


def test_every_step_pulls_the_model_to_its_feedback_and_silence_is_feedback_of_0():
    found = model(TAMER(SPEC, learning_rate=0.2), [0, 0, 1], [1, 1, 0], [1.0, 0.0, -2.0])
    np.testing.assert_allclose(found, [[0, 0.16], [-0.4, 0], [0, 0]], rtol=1e-6)


def test_late_feedback_is_about_the_step_it_was_meant_for():
    agent = TAMER(SPEC, learning_rate=0.5, delay=1.0)
    found = model(agent, [0, 1, 2], [0, 1, 0], [9.0, 1.0, -1.0])
    np.testing.assert_allclose(found, [[0.5, 0], [0, -0.5], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(model(agent, [0, 1, 2], [0, 1, 0], [0, 0, 1.0], lag=[0, 0, 1])[0, 0], 0.5, rtol=1e-6)


@pytest.mark.parametrize(("carries", "expected"), [(True, 0.5), (False, 0.0)])
def test_late_feedback_reaches_into_the_episode_before_if_it_may(carries, expected):
    agent = TAMER(SPEC, learning_rate=0.5, delay=1.0, carry_across_reset=carries)
    assert model(agent, [0, 1], [0, 1], [0.0, 1.0], ended=[True, False])[0, 0] == expected


def test_with_a_discount_it_is_q_learning_on_feedback():
    next_obs = STATES[[1, 2, 1]]
    agent = TAMER(SPEC, learning_rate=0.5, discount=0.9)
    found = model(agent, [0, 1, 0], [0, 1, 0], [0.0, 2.0, 0.0], next_obs=next_obs, ended=[False, True, False])
    # The second step ends: 0.5 * 2. The third sees it: 0.5 * 0.9 * 1.
    np.testing.assert_allclose(found, [[0.45, 0], [0, 1.0], [0, 0]], rtol=1e-6)


def test_feedback_teaches_a_window_by_credit_and_silence_teaches_nothing():
    """Uniform over [0, 2] steps: half a step of credit for each of the last two, however old those before are."""
    agent = TAMER(SPEC, learning_rate=0.5, credit="window", shortest_delay=0.0, delay_spread=2.0)
    found = model(agent, [0, 1, 2, 2], [0, 0, 0, 1], [0.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(found, [[0, 0], [0.25, 0], [0.25, 0]], rtol=1e-6)


def test_behaviour_is_epsilon_greedy_with_ties_at_random():
    agent = TAMER(EnvSpec("toy", (3,), "float32", Discrete(4), None, has_feedback=True), epsilon=0.2)
    params = {"params": {"head": {"kernel": jnp.array([[1.0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]])}}}
    zeros = jnp.zeros(3)
    seen = Timestep(jnp.eye(3), zeros, zeros, zeros, jnp.eye(3), None, None, zeros, {})
    expected = [[0.45, 0.45, 0.05, 0.05], [0.05, 0.85, 0.05, 0.05], [0.25] * 4]
    np.testing.assert_allclose(agent.behaviour(params, seen, 0.2), expected, rtol=1e-6)
    seen = seen.replace(action_mask=jnp.array([[False, True, True, True]] * 3))
    np.testing.assert_allclose(agent.behaviour(params, seen, 0.0)[0], [0, 1, 0, 0], rtol=1e-6)
