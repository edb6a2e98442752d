import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from taught import KEY, learned_in_turns, lesson

from rlx.agents.deep_coach import DeepCOACH, Entry
from rlx.types import Discrete, EnvSpec

SPEC = EnvSpec("toy", (1,), "float32", Discrete(2), None, has_feedback=True)


class Sigmoid:
    """A policy of one parameter: pi(1) = sigmoid(theta), whatever it sees."""

    @staticmethod
    def init(key, obs):
        return jnp.zeros(())

    @staticmethod
    def apply(theta, obs):
        return jnp.stack([jnp.zeros(obs.shape[:-1]), jnp.broadcast_to(theta, obs.shape[:-1])], -1)


@struct.dataclass
class OneParameter(DeepCOACH):
    @property
    def network(self):
        return Sigmoid


def slope(theta, beta, feedback=0.0, **fields):
    """Gradient of the objective of one window of actions (1, 0, 1), chosen with probabilities 0.5, 0.25 and 0.5."""
    agent = OneParameter(SPEC, window_length=3, entropy_coefficient=beta, **fields)
    window = Entry(jnp.ones((1, 3, 1)), jnp.array([[1, 0, 1]]), None, jnp.log(jnp.array([[0.5, 0.25, 0.5]])))
    current = Entry(jnp.ones(1), jnp.int32(0), None, jnp.zeros(()))
    lengths, feedback = jnp.array([3]), jnp.array([feedback])
    return jax.grad(agent.objective)(jnp.float32(theta), window, lengths, feedback, current)


def test_a_window_s_trace():
    """Oracle 6: 0.5, then -0.825, then 0.21125."""
    np.testing.assert_allclose(slope(0.0, 1.5, feedback=-1.0, trace_decay=0.35), -0.21125, rtol=1e-5)


def test_the_entropy_s_gradient():
    """Oracle 7."""
    np.testing.assert_allclose(slope(1.0, 1.5), -0.294918, atol=1e-6)


def test_a_press_stores_the_delayed_steps_before_it():
    """Oracle 8."""
    agent = DeepCOACH(SPEC, window_length=3, delay=1.0, replay_size=4, batch_size=2)
    feedback = [0, 0, 1, 0, 0, 0, 0, -1]
    rollout = lesson(np.arange(8), np.zeros(8), feedback, log_prob=np.log(0.5) * np.ones(8))
    windows = jax.tree.map(lambda x: np.asarray(x[-1]), learned_in_turns(agent, agent.init(KEY), rollout).windows)
    assert windows.count == 2
    np.testing.assert_array_equal(windows.length[:2], [2, 3])
    np.testing.assert_array_equal(windows.feedback[:2], [1, -1])
    np.testing.assert_array_equal(windows.entries.obs[0, 1:, 0], [0, 1])
    np.testing.assert_array_equal(windows.entries.obs[1, :, 0], [4, 5, 6])


def test_a_press_before_any_step_stores_nothing():
    agent = DeepCOACH(SPEC, window_length=3, delay=2.0, replay_size=4, batch_size=2)
    rollout = lesson(np.arange(2), np.zeros(2), [1, 1], log_prob=np.zeros(2))
    states = learned_in_turns(agent, agent.init(KEY), rollout)
    np.testing.assert_array_equal(states.windows.count, [0, 0])
    for leaf, start in zip(jax.tree.leaves(states.params), jax.tree.leaves(agent.init(KEY).params), strict=True):
        np.testing.assert_array_equal(leaf[-1], start)


def by_hand(obs, action, feedback, log_prob, *, decay, length, beta, rate):
    """Algorithm 1 without replay in float64: a linear softmax policy, RMSProp, a window learned from as it closes."""
    theta, square = np.zeros((obs.shape[1], 3)), 0.0
    window, history = [], []
    policy = lambda o: np.exp(o @ theta) / np.exp(o @ theta).sum()  # noqa: E731
    for t in range(len(obs)):
        window.append((obs[t], action[t], np.exp(log_prob[t])))
        window = window[-length:]
        if feedback[t]:
            trace = 0.0
            for o, a, p in window:
                pi = policy(o)
                trace = decay * trace + pi[a] / p * np.outer(o, np.eye(3)[a] - pi)
            pi = policy(obs[t])
            entropy = -np.outer(obs[t], pi * (np.log(pi) - (pi * np.log(pi)).sum()))
            gradient = feedback[t] * trace + beta * entropy
            square = 0.99 * square + 0.01 * gradient**2
            theta = theta + rate * gradient / np.sqrt(square + 1e-5)
            window = []
        history.append(theta)
    return np.stack(history)


def test_it_is_the_algorithm_in_double_precision():
    rng, steps = np.random.default_rng(0), 60
    obs, action = rng.normal(size=(steps, 2)), rng.integers(3, size=steps)
    feedback, log_prob = rng.choice([0, 0, 1, -1], size=steps), np.log(rng.uniform(0.2, 0.8, steps))
    spec = EnvSpec("toy", (2,), "float32", Discrete(3), None, has_feedback=True)
    fields = {"trace_decay": 0.5, "entropy_coefficient": 0.7, "learning_rate": 0.05, "delay": 0.0}
    agent = DeepCOACH(spec, window_length=4, batch_size=0, hidden_sizes=(), replay_size=8, **fields)
    states = learned_in_turns(agent, agent.init(KEY), lesson(obs, action, feedback, log_prob=log_prob))
    expected = by_hand(obs, action, feedback, log_prob, decay=0.5, length=4, beta=0.7, rate=0.05)
    assert np.abs(expected[-1]).max() > 0.2
    np.testing.assert_allclose(states.params["params"]["head"]["kernel"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("batch_size", "moves"), [(16, True), (0, False)])
def test_one_press_is_used_many_times_with_a_replay(batch_size, moves):
    agent = DeepCOACH(SPEC, hidden_sizes=(), delay=0.0, window_length=2, replay_size=4, batch_size=batch_size)
    rollout = lesson(np.ones(5), np.ones(5), [1, 0, 0, 0, 0], log_prob=np.log(0.5) * np.ones(5))
    theta = np.asarray(learned_in_turns(agent, agent.init(KEY), rollout).params["params"]["head"]["kernel"])[:, 0, 1]
    assert theta[0] > 0
    assert (np.diff(theta) > 0).all() if moves else (np.diff(theta) == 0).all()
