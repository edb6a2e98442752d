"""Sticky actions: what is executed instead of what was chosen, how often, and that nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.classic_control.pendulum import Pendulum
from gymnax.environments.environment import Environment, EnvParams, EnvState

from rlx.envs import render, vector
from rlx.envs.api import make_env
from rlx.envs.sticky import Sticky
from rlx.errors import ConfigurationError
from rlx.types import Box, MultiDiscrete

N, LIMIT = 4096, 5
SOME_NUMBER = spaces.Discrete(100)


@struct.dataclass
class DrawnState(EnvState):
    draw: jax.Array


class Recorder(Environment):
    """Observes the action it executes; each step draws a number in [0, 1) for itself."""

    default_params = EnvParams(max_steps_in_episode=LIMIT)

    def __init__(self, space=SOME_NUMBER, size=1):
        self._space, self._size = space, size

    def reset_env(self, key, params):
        return -jnp.ones(self._size), DrawnState(time=0, draw=jnp.zeros(()))

    def step_env(self, key, state, action, params):
        state = DrawnState(time=state.time + 1, draw=jax.random.uniform(key))
        return jnp.ravel(action).astype(jnp.float32), state, 0.0, False, {}

    def action_space(self, params):
        return self._space


def executed(env, chosen, seed=0):
    """What N copies observe, whether they are truncated, and their states, when all choose ``chosen`` ``[T, ...]``."""
    state, first = vector.start(env, jax.random.key(seed), N)

    def step(carry, inputs):
        action, key = inputs
        actions = jnp.broadcast_to(action, (N, *action.shape))
        state, timestep = vector.advance(env, carry[0], carry[1], actions, key)
        return (state, timestep.episode_step), (timestep.obs, timestep.truncated, state)

    chosen = jnp.asarray(chosen, env.spec.action_dtype)
    keys = jax.random.split(jax.random.key(seed + 1), len(chosen))
    return jax.lax.scan(step, (state, first.episode_step), (chosen, keys))[1]


def test_it_is_the_executed_action_that_sticks():
    env = make_env(Recorder(), sticky_actions=0.5)
    actions = executed(env, [1, 2, 3, 4])[0][..., 0]
    # An action executed k steps after it was chosen has stuck k times in a row; were it the chosen action of the
    # step before that is repeated, none would be older than one step.
    expected = [
        [0.5, 0.5, 0, 0, 0],
        [0.25, 0.25, 0.5, 0, 0],
        [0.125, 0.125, 0.25, 0.5, 0],
        [0.0625, 0.0625, 0.125, 0.25, 0.5],
    ]
    shares = [[np.mean(row == action) for action in range(5)] for row in np.asarray(actions)]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(N))


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.9])
def test_actions_stick_as_often_as_told_and_independently_of_the_task(probability):
    env = make_env(Recorder(), sticky_actions=probability)
    actions, _, states = executed(env, [1, 2, 3, 4, 5])
    stuck = np.asarray(actions)[..., 0] != np.arange(1, 6)[:, None]
    tolerance = 4 * np.sqrt(probability * (1 - probability) / stuck.size)
    assert abs(stuck.mean() - probability) < tolerance
    # Copies and steps draw for themselves, and not the task's numbers.
    low = np.asarray(states.task.draw) < 0.5
    for part in (stuck[low], stuck[~low], stuck[1:][stuck[:-1]], stuck[:, 1:][stuck[:, :-1]]):
        assert abs(part.mean() - probability) < 4 * np.sqrt(probability * (1 - probability) / part.size)


def test_probability_one_repeats_the_first_action_for_ever():
    actions, truncated, _ = executed(make_env(Recorder(), sticky_actions=1), [7, 8, 9, 10, 11])
    np.testing.assert_array_equal(actions, np.zeros((5, N, 1)))
    np.testing.assert_array_equal(truncated.all(axis=1), [False, False, False, False, True])


@pytest.mark.parametrize(
    ("space", "chosen", "first"),
    [
        (spaces.Discrete(4), 3, [0]),
        (MultiDiscrete((2, 3)), [1, 2], [0, 0]),
        (Box(2), [0.5, -0.5], [0.0, 0.0]),
        (spaces.Box(-3.0, 1.0, (2,)), [1.0, 1.0], [0.0, 0.0]),
        (spaces.Box(jnp.array([2.0, -8.0]), jnp.array([6.0, -1.0]), (2,)), [1.0, -1.0], [2.0, -1.0]),
    ],
)
def test_the_first_action_of_an_episode_is_zero_or_nearest_to_it(space, chosen, first):
    env = make_env(Recorder(space, len(first)), sticky_actions=1.0)
    np.testing.assert_array_equal(executed(env, [chosen])[0][0, 0], first)


def test_what_sticks_is_what_the_task_got():
    env = make_env("gymnax/Pendulum-v1", discretise=2, sticky_actions=0.5)
    torques = np.asarray(executed(env, [1, 0])[2].task.last_u).reshape(2, N)
    assert set(np.unique(torques[0])) == {0.0, 2.0}  # none of the two values an agent can choose is 0
    assert set(np.unique(torques[1])) == {0.0, 2.0, -2.0}


@pytest.mark.parametrize("reset_mode", ["fresh", "pool", "cached"])
def test_nothing_sticks_beyond_the_end_of_an_episode(reset_mode):
    env = make_env(Recorder(), sticky_actions=0.5, max_episode_steps=2, reset_mode=reset_mode, pool_size=3)
    state, _ = vector.reset(env, jax.random.key(0), 64)
    step = jax.jit(vector.step, static_argnums=0)
    seen = []
    for i in range(4):
        state, timestep = step(env, state, jnp.full(64, i + 1, jnp.int32), jax.random.key(i + 1))
        got = timestep.final_obs[:, 0]
        seen.append(set(np.unique(got)))
        np.testing.assert_array_equal(state.task_state.action, np.where(timestep.truncated, 0, got))
    assert seen == [{0, 1}, {0, 1, 2}, {0, 3}, {0, 3, 4}]


def test_without_sticky_actions_the_task_is_as_it_was():
    task = Pendulum()
    assert make_env(task).task.inner is task
    assert make_env(task, sticky_actions=0.0).task.inner is task
    plain, sticky = make_env(task), make_env(task, sticky_actions=0.1)
    assert isinstance(sticky.task.inner, Sticky)
    assert sticky.spec == plain.spec
    assert sticky.params == plain.params
    np.testing.assert_array_equal(
        vector.start(plain, jax.random.key(3), 2)[1].obs, vector.start(sticky, jax.random.key(3), 2)[1].obs
    )


def test_config_makes_it_again():
    env = make_env("gymnax/CartPole-v1", sticky_actions=0.25)
    assert env.config["sticky_actions"] == 0.25
    again = make_env(**env.config)
    assert again.task.inner.probability == 0.25
    assert again.config == env.config
    assert make_env("gymnax/CartPole-v1").config["sticky_actions"] == 0.0


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "often", True, None])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"sticky_actions=.* (is out of range|has the wrong type)") as error:
        make_env("gymnax/CartPole-v1", sticky_actions=value)
    assert "\n" not in str(error.value)


def test_a_task_with_a_mask_is_refused():
    with pytest.raises(ConfigurationError, match="action mask forbids; leave it out") as error:
        make_env("rlx/probe-masked", sticky_actions=0.25)
    assert "\n" not in str(error.value)
    assert make_env("rlx/probe-masked", sticky_actions=0.0).spec.has_action_mask


start = jax.jit(vector.start, static_argnums=(0, 2))


def episode(env, length):
    """The states of one episode, stacked."""
    state, timestep = start(env, jax.random.key(0), 1)
    step = jax.jit(lambda state, count, key: vector.advance(env, state, count, action, key))
    action = jnp.ones((1, *env.spec.action_shape), env.spec.action_dtype)
    states = [state]
    for i in range(length):
        state, timestep = step(state, timestep.episode_step, jax.random.key(i))
        states.append(state)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *states)


@pytest.mark.parametrize(
    "name", ["gymnax/CartPole-v1", "gymnax/Breakout-MinAtar", "gymnax/FourRooms-misc", "gymnax/MemoryChain-bsuite"]
)
def test_an_episode_is_drawn_as_without_sticky_actions(name, tmp_path):
    env = make_env(name, sticky_actions=0.5)
    states, rewards = episode(env, 3), [0.0, 1.0, 0.0]
    render.render_gif(env, states, rewards, tmp_path / "sticky.gif")
    render.render_gif(make_env(name), states.task, rewards, tmp_path / "plain.gif")
    assert (tmp_path / "sticky.gif").read_bytes() == (tmp_path / "plain.gif").read_bytes()


def test_brax_is_stepped_and_drawn(tmp_path):
    plain = make_env("brax/inverted_pendulum")
    sticky = make_env("brax/inverted_pendulum", sticky_actions=1.0)
    assert sticky.reset_mode == "pool"
    states = episode(sticky, 2)
    begin = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), states.task)
    actions = jnp.array([[0.0], [1.0]])  # what is executed first, and what is chosen
    still, moved = jax.jit(vector.advance, static_argnums=0)(
        plain, begin, jnp.zeros(2, jnp.int32), actions, jax.random.key(5)
    )[1].obs
    np.testing.assert_allclose(states.task.obs[1], still, atol=1e-6)
    assert not np.allclose(moved, still, atol=1e-3)
    render.render_html(sticky, states, tmp_path / "sticky.html")
    render.render_html(plain, states.task, tmp_path / "plain.html")
    assert (tmp_path / "sticky.html").read_text() == (tmp_path / "plain.html").read_text()
