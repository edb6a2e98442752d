import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from taught import CLOCK, KEY, learned, lesson

import rlx
from rlx.agents.coach import COACH
from rlx.envs import trainers
from rlx.envs.grid import CliffGrid
from rlx.types import Box, Discrete, EnvSpec, MultiDiscrete, Timestep

SPEC = EnvSpec("toy", (1,), "float32", Discrete(2), None, has_feedback=True)
ONE = np.ones((2, 1))


def taught(agent, actions, feedback, **about):
    """Parameters ``[F, A]`` after these steps in a single state."""
    state = learned(agent, agent.init(KEY), lesson(np.ones(len(actions)), actions, feedback, **about))
    return np.asarray(state.params["params"]["head"]["kernel"])


def test_praise_of_an_action_makes_it_likelier():
    """Oracle 1."""
    agent = COACH(SPEC, trace_decays=(0.0,), learning_rate=0.5)
    theta = taught(agent, [0, 0], [1, 0])
    np.testing.assert_allclose(theta, [[0.25, -0.25]], rtol=1e-6)
    state = dataclasses.replace(agent.init(KEY), params={"params": {"head": {"kernel": jnp.asarray(theta)}}})
    policy = agent.distribution(state.params, jnp.ones(1), None)
    np.testing.assert_allclose(policy.probabilities[0], 0.62246, atol=1e-5)


def test_silence_changes_nothing():
    agent = COACH(SPEC, trace_decays=(0.9,), learning_rate=0.5)
    np.testing.assert_array_equal(taught(agent, [0, 1], [0, 0]), [[0.0, 0.0]])


def test_a_trace_decays_and_is_kept_where_there_is_no_feedback():
    """Oracle 2: without decay it would be (0, 0.25), and (-0.25, 0.25) if silence cleared it."""
    agent = COACH(SPEC, trace_decays=(0.9,), learning_rate=0.5)
    np.testing.assert_allclose(taught(agent, [0, 1], [0, 1]), [[-0.025, 0.025]], rtol=1e-5)


def test_delayed_feedback_is_about_the_step_before():
    """Oracle 3: the first feedback is about nothing."""
    agent = COACH(SPEC, trace_decays=(0.0,), learning_rate=0.5, delay=1.0)
    np.testing.assert_allclose(taught(agent, [0, 1], [1, 1]), [[0.25, -0.25]], rtol=1e-6)


def test_a_button_has_a_trace_of_its_own():
    agent = COACH(SPEC, trace_decays=(0.0, 0.9), learning_rate=0.5)
    np.testing.assert_allclose(taught(agent, [0, 1], [0, 1], trace=[0, 1]), [[-0.025, 0.025]], rtol=1e-5)
    np.testing.assert_allclose(taught(agent, [0, 1], [0, 1], trace=[0, 0]), [[-0.25, 0.25]], rtol=1e-5)


def test_a_lag_goes_back_to_the_trace_of_then():
    agent = COACH(SPEC, trace_decays=(0.0,), learning_rate=0.5, max_lag=2)
    np.testing.assert_allclose(taught(agent, [0, 1], [0, 1], lag=[0, 1]), [[0.25, -0.25]], rtol=1e-6)


@pytest.mark.parametrize(("carries", "expected"), [(True, 0.25), (False, 0.0)])
def test_late_feedback_reaches_into_the_episode_before_if_it_may(carries, expected):
    agent = COACH(SPEC, trace_decays=(0.0,), learning_rate=0.5, delay=1.0, carry_across_reset=carries)
    theta = taught(agent, [0, 1], [0, 1], ended=[True, False])
    np.testing.assert_allclose(theta[0, 0], expected, rtol=1e-6)


class ByHand:
    """The listing of section 3.1 in float64, one environment, a linear softmax policy."""

    def __init__(self, decays, delay, rate, carries, max_lag):
        self.decays, self.delay, self.rate = np.array(decays), delay, rate
        self.carries, self.max_lag = carries, max_lag

    def start(self, features, actions):
        self.past = []
        self.traces = [np.zeros((len(self.decays), features, actions))]

    def step(self, theta, obs, action, feedback, trace, lag, ended):
        self.past.append((obs, action))
        gradient = np.zeros_like(theta)
        if len(self.past) > self.delay:
            then, taken = self.past[-1 - self.delay]
            weights = np.exp(then @ theta)
            gradient = np.outer(then, np.eye(theta.shape[1])[taken] - weights / weights.sum())
        self.traces.append(self.decays[:, None, None] * self.traces[-1] + gradient)
        back = max(len(self.traces) - 1 - lag, 0)
        change = self.rate * feedback * self.traces[back][trace]
        if ended and not self.carries:
            self.past = []
            self.traces = [np.zeros_like(self.traces[0])]
        return change


@pytest.mark.parametrize("carries", [True, False])
def test_it_is_the_listing_in_double_precision(carries):
    steps, num_envs, features, actions = 60, 2, 3, 4
    rng = np.random.default_rng(0)
    obs, action = rng.normal(size=(steps, num_envs, features)), rng.integers(actions, size=(steps, num_envs))
    feedback = rng.choice([0, 0, 1, -1, 4], size=(steps, num_envs))
    trace, ended = rng.integers(2, size=(steps, num_envs)), rng.random((steps, num_envs)) < 0.1
    lag = rng.integers(2, size=(steps, num_envs)) if carries else np.zeros((steps, num_envs), int)
    spec = EnvSpec("toy", (features,), "float32", Discrete(actions), None, has_feedback=True)
    agent = COACH(spec, num_envs=num_envs, trace_decays=(0.3, 0.95), delay=2.0, max_lag=1, carry_across_reset=carries)
    state = learned(agent, agent.init(KEY), lesson(obs, action, feedback, trace=trace, lag=lag, ended=ended))

    theta = np.zeros((features, actions))
    learners = [ByHand((0.3, 0.95), 2, 0.1, carries, 1) for _ in range(num_envs)]
    for learner in learners:
        learner.start(features, actions)
    for t in range(steps):
        rows = zip(obs[t], action[t], feedback[t], trace[t], lag[t], ended[t], strict=True)
        theta = theta + sum(learner.step(theta, *row) for learner, row in zip(learners, rows, strict=True))
    assert np.abs(theta).max() > 0.5
    np.testing.assert_allclose(state.params["params"]["head"]["kernel"], theta, rtol=2e-4, atol=2e-5)


def test_what_an_episode_adds_up_to_is_reinforce_on_feedback():
    """Oracle 12, where theta hardly moves: the sum of f e is that of grad log pi times what follows of f, decayed."""
    rng, steps, decay = np.random.default_rng(1), 30, 0.8
    action, feedback = rng.integers(2, size=steps), rng.choice([0, 1, -1], size=steps)
    agent = COACH(SPEC, trace_decays=(decay,), learning_rate=1e-4)
    found = taught(agent, action, feedback) / 1e-4
    gradients = np.eye(2)[action] - 0.5
    followed = np.array([sum(decay ** (k - t) * feedback[k] for k in range(t, steps)) for t in range(steps)])
    np.testing.assert_allclose(found[0], followed @ gradients, rtol=5e-3, atol=5e-3)


def test_a_trace_alone_and_beside_others_is_the_same():
    """Oracle 12, second half."""
    rng, steps = np.random.default_rng(2), 20
    action, feedback = rng.integers(2, size=steps), rng.choice([0, 1, -1], size=steps)
    alone = taught(COACH(SPEC, trace_decays=(0.7,)), action, feedback)
    beside = taught(COACH(SPEC, trace_decays=(0.2, 0.7, 0.99)), action, feedback, trace=np.ones(steps))
    np.testing.assert_allclose(alone, beside, rtol=1e-6)


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete((2, 3)), Box(2)])
def test_it_tells_its_policy_in_numbers(space):
    spec = EnvSpec("toy", (2,), "float32", space, None, has_feedback=True)
    agent = COACH(spec)
    state = agent.init(KEY)
    zeros = jnp.zeros(4)
    timestep = Timestep(jnp.ones((4, 2)), zeros, zeros, zeros, jnp.ones((4, 2)), None, None, zeros, {})
    action, extras = agent.act(state, timestep, KEY, CLOCK)
    assert action.shape == (4, *spec.action_shape)
    if isinstance(space, Box):
        np.testing.assert_allclose(extras["std"], np.full((4, 2), 0.5), rtol=1e-6)
    else:
        thirds = [1 / 3] * 3
        np.testing.assert_allclose(extras["probabilities"][0], thirds if space == Discrete(3) else [0.5, 0.5, *thirds])


def test_a_gaussian_policy_follows_praise():
    """Mean and log deviation move by (a - mean)/std^2 and (a - mean)^2/std^2 - 1 times alpha f."""
    spec = EnvSpec("toy", (1,), "float32", Box(1), None, has_feedback=True)
    agent = COACH(spec, trace_decays=(0.0,), learning_rate=0.1, initial_std=0.5)
    rollout = lesson([1.0], [0], [1.0])
    rollout = dataclasses.replace(rollout, action=jnp.full((1, 1, 1), 0.75))
    head = jax.tree.map(np.asarray, learned(agent, agent.init(KEY), rollout).params["params"])
    np.testing.assert_allclose(head["head"]["kernel"], [[0.1 * 0.75 / 0.25]], rtol=1e-5)
    np.testing.assert_allclose(head["log_std"]["kernel"], [[0.1 * (0.75**2 / 0.25 - 1)]], rtol=1e-5)


def test_advantages_as_feedback_are_a_step_of_policy_gradient():
    """Oracle 11: COACH's expected step, by discounted visits, is alpha times the gradient of the start's value."""
    task, gamma, rate = CliffGrid(), 0.99, 0.3
    process, states = task.process, task.num_states
    following = jax.nn.one_hot(process.next_state, states) * (1.0 - process.ends)[None, None]

    def solved(theta):
        policy = jax.nn.softmax(theta)
        moves = jnp.einsum("sa,sat->st", policy, following)
        value = jnp.linalg.solve(jnp.eye(states) - gamma * moves, (policy * process.reward).sum(-1))
        return value, (policy, moves)

    theta = 0.5 * jax.random.normal(KEY, (states, 4))
    gradient = jax.grad(lambda theta: solved(theta)[0][0])(theta)
    value, (policy, moves) = solved(theta)
    visits = jnp.linalg.solve((jnp.eye(states) - gamma * moves).T, jnp.eye(states)[0])
    advantage = trainers.advantages(process, policy, value)
    moved = everywhere(task, theta, rate, visits[:, None] * policy * advantage)
    np.testing.assert_allclose(moved, rate * gradient, rtol=2e-3, atol=2e-4)


def everywhere(task, theta, rate, feedback):
    """How COACH moves ``theta`` by feedback ``[S, A]`` on every action in every state, at once."""
    spec = rlx.make_env("rlx/cliff-grid", teacher="improvement").spec
    agent = COACH(spec, num_envs=feedback.size, learning_rate=rate, trace_decays=(0.0,))
    start = dataclasses.replace(agent.init(KEY), params={"params": {"head": {"kernel": theta}}})
    cells, actions = (grid.ravel() for grid in np.indices(feedback.shape))
    rollout = lesson(np.eye(task.num_states)[cells][None], actions[None], feedback.ravel()[None])
    return learned(agent, start, rollout).params["params"]["head"]["kernel"] - theta


@pytest.mark.parametrize(("largest", "expected"), [(None, 4.0), (1.0, 4.0 / np.sqrt(32))])
def test_a_long_gradient_is_shortened_only_if_asked(largest, expected):
    """In an observation of 8, the gradient is (4, -4), of length sqrt(32)."""
    agent = COACH(SPEC, trace_decays=(0.0,), learning_rate=1.0, max_grad_norm=largest)
    state = learned(agent, agent.init(KEY), lesson([8.0], [0], [1.0]))
    np.testing.assert_allclose(state.params["params"]["head"]["kernel"], [[expected, -expected]], rtol=1e-5)


def test_without_a_teacher_it_is_refused():
    with pytest.raises(rlx.ConfigurationError, match="learns from a teacher's feedback, and gymnax/CartPole-v1 has no"):
        rlx.make_agent("coach", rlx.make_env("gymnax/CartPole-v1"))
