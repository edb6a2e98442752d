import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import trainers, vector
from rlx.envs.grid import EAST, NORTH, SOUTH, CliffGrid, Process
from rlx.envs.settings import TEACHERS
from rlx.envs.teacher import Channel, Lesson, Word
from rlx.runner import loop
from rlx.types import Clock

KEY = jax.random.key(0)
UNIFORM = lambda seen, key: (None, {"probabilities": jnp.full((len(seen.obs), 4), 0.25)})  # noqa: E731


def heard(env, actions, behaviour=UNIFORM):
    """Feedback on these actions of one copy of the cliff grid."""
    state, _ = vector.reset(env, KEY, 1)
    step = lambda state, action: vector.step(env, state, action[None], KEY, behaviour)  # noqa: E731
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, state, jnp.array(actions))[1].reward)())[:, 0]


def test_praise_falls_as_the_habit_forms():
    """Oracle 5: stay, or go for 1 and end; advantages are of the policy that there is now."""
    process = Process(np.array([[0, 1], [1, 1]]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([False, True]))
    for go, expected in ((0.5, (-0.090909, 0.090909)), (0.9, (-0.098901, 0.010989))):
        policy = jnp.array([[1 - go, go], [0.5, 0.5]])
        value = trainers.swept(process, policy, jnp.zeros(2), 200, discount=0.9)
        found = trainers.advantages(process, policy, value, discount=0.9)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(policy[0] @ found, 0.0, atol=1e-6)


@pytest.mark.parametrize("teacher", [name for name in TEACHERS if name != "person"])
def test_every_trainer_teaches_the_cliff_grid(teacher):
    said = heard(rlx.make_env("rlx/cliff-grid", teacher=teacher), [EAST, NORTH, EAST])
    assert said[0] < 0  # into the cliff
    assert np.isfinite(said).all()


def test_what_each_says_of_going_north_at_the_start():
    def likely(seen, key):
        return None, {"probabilities": jnp.full((len(seen.obs), 4), 0.1).at[:, NORTH].set(0.7)}

    def say(teacher, behaviour=UNIFORM):
        return heard(rlx.make_env("rlx/cliff-grid", teacher=teacher), [NORTH], behaviour)[0]

    assert say("task") == 0
    assert say("action") == 1
    assert say("diminishing") == 0.75
    np.testing.assert_allclose(say("diminishing", likely), 0.3, rtol=1e-6)
    assert say("sign_improvement") == 1
    assert say("shaping") == 0  # it is what a trainer who has seen nothing yet takes for usual
    assert say("differential") in (1, 4)


def test_a_shaping_trainer_gets_used_to_what_is_good_enough():
    """Six times along the cliff to the goal, then bumps at the start: poor, but better than what was usual."""
    said = heard(rlx.make_env("rlx/cliff-grid", teacher="shaping"), [EAST] * 42 + [SOUTH] * 300)
    assert (said[0], said[42], said[-1]) == (-1, 1, 0)


def test_advantages_by_branching_are_exact_where_nothing_is_random():
    """The policy goes up and along and down; other first actions lose what the detour costs."""
    env, task = rlx.make_env("rlx/cliff-grid"), CliffGrid()

    def behaviour(seen, key):
        cell = seen.obs.argmax(-1)
        x, y = cell % 8, cell // 8
        action = jnp.where(y == 0, NORTH, jnp.where(x < 7, EAST, SOUTH))
        return action, {"probabilities": jax.nn.one_hot(action, 4)}

    before = jax.tree.map(lambda x: x[None], task.state_of(jnp.int32(0)))
    lesson = Lesson(env, behaviour, before, jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), before, jnp.zeros(1), KEY)
    found = jax.jit(lambda: trainers.rollout_advantages(lesson, 2, 16))()
    best = 5 * 0.99**8
    np.testing.assert_allclose(found, [[0, 0.99 * best - best, -1 + 5 * 0.99**8 - best, 0.99 * best - best]], atol=1e-4)


def test_late_feedback_arrives_across_resets():
    """Two steps an episode, each into the cliff, heard of three steps later."""
    env = rlx.make_env("rlx/cliff-grid", teacher="task", max_episode_steps=2, feedback_lag=3)
    np.testing.assert_array_equal(heard(env, [EAST] * 6), [0, 0, 0, -1, -1, -1])


def sent(channel, values):
    """What arrives of ``values`` ``[T, N]``."""

    def step(carry, value):
        under_way, key = carry
        key, use = jax.random.split(key)
        under_way, arrived = channel.send(under_way, value, use)
        return (under_way, key), arrived

    values = jnp.asarray(values, jnp.float32)
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, (channel.start(values.shape[1]), KEY), values)[1])())


def test_a_channel_without_faults_changes_nothing():
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.testing.assert_array_equal(sent(Channel(), values), values)


def test_a_channel_misses_and_mistakes_as_often_as_told():
    arrived = sent(Channel(probability=0.3, flips=0.2), np.ones((200, 50)))
    np.testing.assert_allclose([(arrived != 0).mean(), (arrived == -1).mean()], [0.3, 0.06], atol=0.015)


def test_what_is_late_by_chance_is_lost_nowhere_and_summed_where_it_meets():
    values = np.zeros((40, 200))
    values[:30] = 1.0
    arrived = sent(Channel(lag=1, spread=3, slots=5), values)
    np.testing.assert_array_equal(arrived.sum(0), 30.0)
    assert arrived[0].max() == 0
    assert arrived.max() > 1
    lags = sent(Channel(lag=1, spread=3, slots=5), np.eye(6, 4000)[:, np.zeros(4000, int)])
    np.testing.assert_allclose(lags.mean(1), [0, 0.25, 0.25, 0.25, 0.25, 0], atol=0.03)


class Unpayable(CliffGrid):
    """The cliff grid, but whoever reads its reward has NaN."""

    def __init__(self):
        super().__init__()
        self.process = self.process._replace(reward=np.full_like(self.process.reward, np.nan))


@pytest.mark.parametrize("name", ["coach", "deep_coach", "tamer"])
def test_the_reward_cannot_reach_the_learner(name):
    """The same presses teach the same bits whatever the task pays; the account for people watching has its reward."""

    def taught(task):
        env = rlx.make_env(task, teacher="person", max_episode_steps=4)
        agent = rlx.make_agent(name, env, learning_rate=0.1)
        clock = Clock.start(100, 1)
        state = loop.init(agent, env, KEY, clock)
        iterate = jax.jit(lambda state: loop.iterate(agent, env, state))
        for value in [0.0, 1.0, -1.0, 0.0, 4.0, 1.0]:
            state = iterate(pressed(state, value))
        return state

    paid, unpayable = taught(CliffGrid()), taught(Unpayable())
    for a, b in zip(jax.tree.leaves(paid.agent), jax.tree.leaves(unpayable.agent), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = jax.tree.map(lambda x: np.abs(x).max(), unpayable.agent.params)
    assert max(jax.tree.leaves(moved)) > 0
    assert np.isnan(unpayable.scene.env.teacher.reward).all()
    np.testing.assert_array_equal(paid.scene.timestep.reward, [1.0])


def pressed(state, value):
    """A run in which a person presses before the next step."""
    word = Word(jnp.array([value]), jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))
    teacher = dataclasses.replace(state.scene.env.teacher, memory=word)
    env = dataclasses.replace(state.scene.env, teacher=teacher)
    return dataclasses.replace(state, scene=dataclasses.replace(state.scene, env=env))


REFUSED = {
    "no rule tells its good actions": ("gymnax/Acrobot-v1", {"teacher": "action"}),
    "is for rlx/cliff-grid": ("rlx/four-rooms", {"teacher": "action_author"}),
    "discrete actions only": ("gymnax/Pendulum-v1", {"teacher": "improvement"}),
    "judges grids only": ("gymnax/CartPole-v1", {"teacher": "shaping"}),
    "is of simulated teachers": ("rlx/cliff-grid", {"teacher": "person", "feedback_lag": 1}),
    "teacher=nobody is no choice": ("rlx/cliff-grid", {"teacher": "nobody"}),
    "judges chosen actions": ("rlx/cliff-grid", {"teacher": "action", "sticky_actions": 0.1}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_teach_is_refused(message):
    name, options = REFUSED[message]
    with pytest.raises(rlx.ConfigurationError, match=message):
        rlx.make_env(name, **options)


def test_a_learner_that_does_not_tell_its_policy_cannot_be_judged_by_it():
    env = rlx.make_env("rlx/cliff-grid", teacher="improvement")
    agent = rlx.make_agent("dqn", env)
    with pytest.raises(rlx.ConfigurationError, match="judges by the learner's policy, which this agent does not tell"):
        loop.init(agent, env, KEY, Clock.start(100, 1))
