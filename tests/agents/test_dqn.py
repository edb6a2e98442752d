import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import Adam, assert_trees_close, doubles, gradient, network
from flax import struct

from rlx.agents.dqn import DQN
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.n_step import NStepBatch
from rlx.types import Clock, Discrete, EnvSpec, Timestep, Transition

KEY = jax.random.key(0)


class Table:
    """A network whose parameters are the action values of each state; observations are states as unit vectors."""

    @staticmethod
    def init(key, obs):
        return jnp.zeros((obs.shape[-1], 2))

    @staticmethod
    def apply(params, obs):
        return obs @ params


@struct.dataclass
class Tabular(DQN):
    """With a table in place of the network."""

    @property
    def network(self):
        return Table


SPEC = EnvSpec("toy", (3,), "float32", Discrete(2), None)
STATES = np.eye(3, dtype=np.float32)
# Of state 1 the online table prefers the second action, and the target table the first.
ONLINE = jnp.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
TARGET = jnp.array([[0.0, 0.0], [10.0, 5.0], [0.0, 0.0]])


def tabular(**hyperparameters):
    settings = {"num_envs": 1, "batch_size": 4, "replay_size": 8, "learning_starts": 0, "discount": 0.9}
    return Tabular(SPEC, **(settings | hyperparameters))


def step_batch(reward, terminated, action=0, mask=None, discount=0.9):
    """Steps from state 0 to state 1, as the replay gives them."""
    reward = jnp.asarray(reward, jnp.float32)
    number = len(reward)
    return NStepBatch(
        obs=jnp.tile(STATES[0], (number, 1)),
        action=jnp.full(number, action),
        reward=reward,
        discount=jnp.full(number, discount),
        terminated=jnp.asarray(terminated, bool),
        next_obs=jnp.tile(STATES[1], (number, 1)),
        action_mask=None,
        next_action_mask=None if mask is None else jnp.asarray([mask] * number),
        extras={},
    )


@pytest.mark.parametrize(
    ("settings", "mask", "terminated", "target"),
    [
        ({"double": True}, None, False, 1 + 0.9 * 5),  # chosen online, valued by the target
        ({"double": False}, None, False, 1 + 0.9 * 10),
        ({"double": True}, [True, False], False, 1 + 0.9 * 10),
        ({"double": False}, [False, True], False, 1 + 0.9 * 5),
        ({"double": True}, None, True, 1.0),
        ({"double": False}, None, True, 1.0),
        # h^-1(5) = 34.58616 and h^-1(10) = 117.43032, found by bisection; h(32.12755) and h(106.68729).
        ({"double": True, "value_rescaling": True}, None, False, 4.787781),
        ({"double": False, "value_rescaling": True}, None, False, 9.483936),
    ],
)
def test_the_target(settings, mask, terminated, target):
    batch = step_batch([1.0], [terminated], mask=mask)
    loss, metrics = tabular(**settings).td_loss(ONLINE, TARGET, batch)
    np.testing.assert_allclose(metrics["td_error"], target, rtol=1e-4)
    np.testing.assert_allclose(loss, target**2 / 2, rtol=2e-4)


def test_values_are_reported_in_units_of_reward():
    """h^-1(5) = 34.58616 and h^-1(10) = 117.43032: gaps 82.84416 and, where the second is forbidden, of no choice."""
    params = jnp.array([[10.0, 5.0], [5.0, 0.0], [1.0, 7.0]])
    batch = dataclasses.replace(
        step_batch([0.0] * 3, [True] * 3, action=0, mask=[True, True]),
        obs=STATES,
        action_mask=jnp.array([[True, True], [True, True], [True, False]]),
    )
    _, metrics = tabular(value_rescaling=True).td_loss(params, TARGET, batch)
    np.testing.assert_allclose(metrics["q_value"], (117.43032 + 34.58616 + 3.00300) / 3, rtol=1e-4)
    np.testing.assert_allclose(metrics["log_gap_deviation"], np.log10(82.84416 / 34.58616) / 2, rtol=1e-4)
    # Errors are those of what is learned.
    np.testing.assert_allclose(metrics["td_error"], (10 + 5 + 1) / 3, rtol=1e-6)


def test_the_loss_is_a_mean_and_its_gradient_the_error_of_the_action_taken():
    params = ONLINE.at[0].set(jnp.array([7.0, 3.0]))
    batch = step_batch([1.0, -3.0], [True, False], action=1)
    # Targets 1 and -3 + 0.9 * 5 = 1.5, both of a value of 3.
    for kind, loss, slope in (("squared", (2.0 + 1.125) / 2, (2.0 + 1.5) / 2), ("huber", (1.5 + 1.0) / 2, 1.0)):
        agent = tabular(loss=kind)
        (found, metrics), grads = jax.value_and_grad(agent.td_loss, has_aux=True)(params, TARGET, batch)
        np.testing.assert_allclose(found, loss, rtol=1e-6)
        # None through the bootstrap: the other rows stay where they are.
        np.testing.assert_allclose(grads, [[0.0, slope], [0.0, 0.0], [0.0, 0.0]], rtol=1e-6)
    assert (float(metrics["q_value"]), float(metrics["td_error"])) == (3.0, 1.75)
    np.testing.assert_allclose(metrics["loss"], found)


def test_the_gradient_against_finite_differences():
    agent = DQN(EnvSpec("toy", (2,), "float32", Discrete(2), None), hidden_sizes=(3,), activation="tanh")
    params, target_params = (agent.network.init(jax.random.key(seed), jnp.zeros(2)) for seed in (1, 2))
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, 5, 2)).astype(np.float32)
    action, reward = np.array([0, 1, 1, 0, 1]), rng.normal(size=5).astype(np.float32)
    terminated = np.array([0, 0, 1, 0, 0], bool)
    batch = NStepBatch(obs, action, reward, np.full(5, 0.9, np.float32), terminated, next_obs, None, None, {})
    choice = network(doubles(params), next_obs).argmax(1)
    valued = network(doubles(target_params), next_obs)
    assert (choice != valued.argmax(1)).any()
    target = reward + 0.9 * ~terminated * valued[np.arange(5), choice]
    loss = lambda params: 0.5 * np.mean((target - network(params, obs)[np.arange(5), action]) ** 2)  # noqa: E731
    (found, _), grads = jax.value_and_grad(agent.td_loss, has_aux=True)(params, target_params, batch)
    np.testing.assert_allclose(found, loss(doubles(params)), rtol=1e-5)
    assert_trees_close(grads, gradient(loss, params), rtol=1e-4, atol=1e-6)


def rollout_of(states, actions, rewards, terminated):
    """Transitions ``[T, 1]`` from state to state."""
    no = jnp.zeros((len(actions), 1), bool)
    return Transition(
        obs=STATES[jnp.array(states[:-1])][:, None],
        action=jnp.array(actions)[:, None],
        reward=jnp.array(rewards, jnp.float32)[:, None],
        terminated=jnp.array(terminated, bool)[:, None],
        truncated=no,
        next_obs=STATES[jnp.array(states[1:])][:, None],
        action_mask=None,
        next_action_mask=None,
        extras={},
    )


def clock_after(iterations, steps_per_iteration=1, total_steps=100):
    clock = Clock.start(total_steps, steps_per_iteration)
    for _ in range(iterations):
        clock = clock.advance()
    return clock


def started(agent, params=ONLINE, target=TARGET):
    return dataclasses.replace(agent.init(KEY), params=params, target_params=target)


def test_an_update_whose_every_draw_is_the_same_transition():
    """Adam's first steps on gradients of one sign are as long as the learning rate, whatever the gradient."""
    agent = tabular(num_updates=3, learning_rate=0.1, max_grad_norm=1e6, target_period=2)
    rollout = rollout_of([0, 1], [1], [1.0], [False])
    state, metrics = agent.update(started(agent), rollout, KEY, clock_after(1))
    # The target is 5.5 in each update: values 0, 0.1, 0.2 - a little less, since the gradient shrinks.
    np.testing.assert_allclose(metrics.means["td_error"], 5.4, atol=2e-3)
    np.testing.assert_allclose(metrics.means["q_value"], 0.1, atol=2e-3)
    np.testing.assert_allclose(metrics.means["loss"], (5.5**2 + 5.4**2 + 5.3**2) / 6, rtol=1e-3)
    assert metrics.updates == 3
    optimiser, value = Adam({"q": np.zeros(1)}, 1e6, 1e-8), {"q": np.zeros(1)}
    for _ in range(3):
        value = optimiser.step(value, {"q": value["q"] - 5.5}, 0.1)
    np.testing.assert_allclose(state.params, ONLINE.at[0, 1].set(value["q"][0]), rtol=1e-5)
    np.testing.assert_allclose(value["q"], 0.3, atol=1e-3)
    np.testing.assert_array_equal(state.target_params, TARGET)


def test_the_largest_norm_of_a_gradient():
    """Gradients of -5.5 and of -5.4 both count as -0.5; Adam's mean of them is 0.1 and then 0.19 of that."""
    agent = tabular(num_updates=1, learning_rate=0.1, max_grad_norm=0.5, batch_size=1)
    state, value = started(agent), {"q": np.zeros(1)}
    optimiser = Adam(value, 0.5, 1e-8)
    for iteration in (1, 2):
        rollout = rollout_of([0, 1], [1], [1.0], [False])
        state, _ = agent.update(state, rollout, KEY, clock_after(iteration))
        value = optimiser.step(value, {"q": value["q"] - 5.5}, 0.1)
    np.testing.assert_allclose(state.params[0, 1], value["q"][0], rtol=1e-4)
    np.testing.assert_allclose(state.opt_state[1].mu.ravel()[1], -0.5 * 0.19, rtol=1e-5)


def test_one_step_of_rmsprop():
    """Of the gradient g = -5.5: g^2 averages to 0.95 + 0.05 g^2, g to 0.05 g (Graves 2013, eq. 38 to 41)."""
    agent = tabular(optimiser="rmsprop", learning_rate=0.1, max_grad_norm=1e6)
    state, _ = agent.update(started(agent), rollout_of([0, 1], [1], [1.0], [False]), KEY, clock_after(1))
    np.testing.assert_allclose(state.params[0, 1], 0.1 * 5.5 / np.sqrt(0.95 + 1.5125 - 0.275**2 + 1e-5), rtol=1e-5)


@pytest.mark.parametrize(("terminated", "target"), [(False, 1 + 0.9 * 2 + 0.81 * 5), (True, 1 + 0.9 * 2)])
def test_two_steps_of_reward_before_the_bootstrap(terminated, target):
    agent = tabular(n_step=2, rollout_length=2, learning_rate=0.1)
    rollout = rollout_of([0, 2, 1], [1, 0], [1.0, 2.0], [False, terminated])
    _, metrics = agent.update(started(agent), rollout, KEY, clock_after(1, 2))
    np.testing.assert_allclose(metrics.means["td_error"], target, rtol=1e-5)


def test_a_window_must_be_whole_before_anything_is_learned():
    agent = tabular(n_step=3)
    state, learned = started(agent), []
    for iteration in (1, 2, 3):
        before = state.params
        rollout = rollout_of([0, 1], [1], [1.0], [False])
        state, metrics = agent.update(state, rollout, KEY, clock_after(iteration))
        learned.append((bool((state.params != before).any()), float(metrics.updates)))
    assert learned == [(False, 0.0), (False, 0.0), (True, 1.0)]


def test_an_event_of_three_updates_in_double_precision():
    """Each with a draw of its own from four transitions; the target network stays, and is copied at the end."""
    spec = EnvSpec("toy", (2,), "float32", Discrete(2), None)
    settings = {"num_envs": 2, "rollout_length": 2, "num_updates": 3, "batch_size": 3, "replay_size": 8}
    agent = DQN(
        spec, **settings, learning_starts=4, target_period=1, hidden_sizes=(3,), activation="tanh",
        learning_rate=0.05, max_grad_norm=0.3,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    obs, next_obs = rng.normal(size=(2, 2, 2, 2)).astype(np.float32)
    action, reward = np.array([[0, 1], [1, 0]]), rng.normal(size=(2, 2)).astype(np.float32)
    terminated = np.array([[False, True], [False, False]])
    no = np.zeros((2, 2), bool)
    rollout = Transition(obs, action, reward, terminated, no, next_obs, None, None, {})
    rollout = jax.tree.map(jnp.asarray, rollout)
    state = agent.init(KEY)
    state = dataclasses.replace(state, target_params=agent.network.init(jax.random.key(5), jnp.zeros(2)))
    after, metrics = jax.jit(agent.update)(state, rollout, KEY, clock_after(1, 4))

    params, target_params = doubles(state.params), doubles(state.target_params)
    replay, optimiser, losses, drawn = replays.add(state.replay, rollout, 2), Adam(params, 0.3, 1e-8), [], []
    for key in jax.random.split(KEY, 3):
        sample_key, _ = jax.random.split(key)
        where = np.asarray(replays.sample(replay, 2, sample_key, 3, rules.Uniform(), 1.0).indices)
        drawn.append(where.tolist())
        row, env = where // 2, where % 2
        choice = network(params, next_obs[row, env]).argmax(1)
        bootstrap = network(target_params, next_obs[row, env])[np.arange(3), choice]
        target = reward[row, env] + 0.99 * ~terminated[row, env] * bootstrap

        def loss(params, target=target, row=row, env=env):
            value = network(params, obs[row, env])[np.arange(3), action[row, env]]
            return 0.5 * np.mean((target - value) ** 2)

        losses.append(loss(params))
        params = optimiser.step(params, gradient(loss, params), 0.05)
    assert len({tuple(where) for where in drawn}) == 3
    assert_trees_close(after.params, params, rtol=1e-4, atol=1e-5)
    assert_trees_close(after.target_params, after.params, rtol=0)
    np.testing.assert_allclose(metrics.means["loss"], np.mean(losses), rtol=1e-4)


def test_evaluation_takes_the_best_valid_action_in_either_mode():
    ends = jnp.zeros(2, bool)
    obs = STATES[jnp.array([1, 1])]
    mask = jnp.array([[True, True], [True, False]])
    seen = Timestep(obs, jnp.zeros(2), ends, ends, obs, mask, mask, jnp.zeros(2, jnp.int32), {})
    agent = tabular()
    for mode in ("greedy", "sample"):
        assert agent.policy(started(agent), seen, KEY, mode).tolist() == [1, 0]
