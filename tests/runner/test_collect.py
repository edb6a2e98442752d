import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from stub import Stub, StubState

import rlx
from rlx.envs import vector
from rlx.envs.probes import Truncated
from rlx.runner.collect import EpisodeStatistics, collect
from rlx.types import Clock, Timestep

N = 2
REWARDS = np.array([[1, 2], [3, -4], [5, 6], [7, 8], [-9, 10], [11, 12], [13, 14]], np.float32)
# Both kinds of end, in the middle and at the last step.
TERMINATED = np.array([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0], [0, 0], [1, 0]], bool)
TRUNCATED = np.array([[0, 0], [0, 0], [0, 1], [0, 0], [1, 0], [0, 0], [0, 0]], bool)


def timestep(reward, terminated, truncated, episode_step):
    blank = jnp.zeros((N, 1))
    return Timestep(
        blank, jnp.asarray(reward), jnp.asarray(terminated), jnp.asarray(truncated), blank, None, None,
        jnp.asarray(episode_step), {},
    )  # fmt: skip


def episodes_by_hand(env):
    """(step of the end, return, length) of each finished episode of one environment."""
    found, total, length = [], 0.0, 0
    for step in range(len(REWARDS)):
        total, length = total + REWARDS[step, env], length + 1
        if TERMINATED[step, env] or TRUNCATED[step, env]:
            found.append((step, total, length))
            total, length = 0.0, 0
    return found


def statistics_after(restart_before):
    """Statistics of all steps, restarted before that step, as an environment with auto-reset would give them."""
    statistics, previous = EpisodeStatistics.zeros(N), timestep(np.zeros(N), [False] * N, [False] * N, [0, 0])
    after = jax.jit(EpisodeStatistics.after)
    for step in range(len(REWARDS)):
        if step == restart_before:
            statistics = statistics.restart()
        ended = TERMINATED[step] | TRUNCATED[step]
        episode_step = np.where(ended, 0, previous.episode_step + 1)
        following = timestep(REWARDS[step], TERMINATED[step], TRUNCATED[step], episode_step)
        statistics, previous = after(statistics, previous, following), following
    return statistics


def test_episode_statistics_are_those_of_a_loop():
    for restart_before in (None, 3):  # in the middle of both environments' episodes
        statistics = statistics_after(restart_before)
        for env in range(N):
            counted = [end for end in episodes_by_hand(env) if end[0] >= (restart_before or 0)]
            assert statistics.episodes[env] == len(counted)
            assert statistics.return_sum[env] == sum(end[1] for end in counted)
            assert statistics.length_sum[env] == sum(end[2] for end in counted)
    assert statistics_after(None).return_sum.tolist() == [4.0 + 3.0 + 24.0, 4.0 + 8.0]
    assert statistics_after(None).episode_return.tolist() == [0.0, 36.0]


def test_a_rollout_holds_the_step_before_the_reset():
    """In probe-terminated the observation counts the steps left, and a new episode starts at 1 to 3."""
    env = rlx.make_env("rlx/probe-terminated")
    agent = Stub(env.spec, num_envs=4, rollout_length=9)
    env_state, first = vector.reset(env, jax.random.key(0), 4)
    state = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))
    statistics = EpisodeStatistics.zeros(4)
    _, last, statistics, rollout = jax.jit(lambda: collect(
        agent, env, state, env_state, first, statistics, jax.random.key(1), Clock.start(100)
    ))()  # fmt: skip
    obs, next_obs = np.asarray(rollout.obs)[..., 0], np.asarray(rollout.next_obs)[..., 0]
    assert obs.shape == (9, 4)
    np.testing.assert_array_equal(next_obs, obs - 1)
    np.testing.assert_array_equal(rollout.terminated, next_obs == 0)
    assert not rollout.truncated.any()
    following = np.concatenate([obs[1:], np.asarray(last.obs)[None, :, 0]])
    going_on = ~np.asarray(rollout.terminated)
    np.testing.assert_array_equal(following[going_on], next_obs[going_on])
    assert set(following[~going_on]) <= {1.0, 2.0, 3.0}
    assert statistics.episodes.sum() == rollout.terminated.sum()
    assert statistics.return_sum.sum() + statistics.episode_return.sum() == 9 * 4


def test_truncation_is_told_from_termination():
    env = rlx.make_env("rlx/probe-truncated")
    agent = Stub(env.spec, num_envs=1, rollout_length=11)
    env_state, first = vector.reset(env, jax.random.key(0), 1)
    state = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))
    *_, rollout = collect(
        agent, env, state, env_state, first, EpisodeStatistics.zeros(1), jax.random.key(1), Clock.start(100)
    )
    assert np.flatnonzero(rollout.truncated[:, 0]).tolist() == [4, 9]
    assert not rollout.terminated.any()


@struct.dataclass
class Watching(Stub):
    """Begins every rollout with new episodes, and remembers in ``memory`` the rewards and number of timesteps seen."""

    restarts: ClassVar = True
    observes: ClassVar = True

    def observe(self, state, timestep):
        return dataclasses.replace(state, memory=state.memory + jnp.stack([timestep.reward.sum(), 1.0]))

    def act(self, state, timestep, key, clock):
        action, _ = super().act(state, timestep, key, clock)
        return action, {"memory": state.memory}


def test_a_rollout_that_begins_with_new_episodes_and_an_agent_that_watches():
    """In probe-truncated each step's reward is 1, and episodes are 5 steps long."""
    env = rlx.make_env("rlx/probe-truncated")
    agent = Watching(env.spec, num_envs=2, rollout_length=7)
    state = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))
    env_state, timestep = vector.reset(env, jax.random.key(0), 2)
    statistics = EpisodeStatistics.zeros(2)
    for rollouts in (1, 2):
        env_state, timestep, statistics, rollout = collect(
            agent, env, state, env_state, timestep, statistics, jax.random.key(rollouts), Clock.start(100)
        )
        assert np.flatnonzero(rollout.truncated[:, 0]).tolist() == [4]
        # What it acts on: the start, and then a reward of 1 in each of 2 environments.
        np.testing.assert_array_equal(rollout.extras["memory"], [[2 * step, step + 1] for step in range(7)])
        # The two steps after the first episode count for none.
        assert statistics.return_sum.tolist() == [5.0 * rollouts] * 2
        assert statistics.length_sum.tolist() == [5.0 * rollouts] * 2
        assert statistics.episodes.tolist() == [rollouts] * 2
    assert state.memory.tolist() == [0.0, 0.0]


def test_new_episodes_begin_anew_in_each_rollout():
    env = rlx.make_env("gymnax/CartPole-v1")
    agent = Watching(env.spec, num_envs=2, rollout_length=1)
    state = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))
    around = (*vector.reset(env, jax.random.key(0), 2), EpisodeStatistics.zeros(2))
    starts = [around[1].obs]
    for key in jax.random.split(jax.random.key(1), 2):
        *around, rollout = collect(agent, env, state, *around, key, Clock.start(100))
        starts.append(rollout.obs[0])
    assert len(np.unique(np.stack(starts).reshape(6, 4), axis=0)) == 6


class Reporting(Truncated):
    """Reports the steps taken in the episode, the last one included."""

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, _ = super().step_env(key, state, action, params)
        return obs, state, reward, terminated, {"taken": state.time}


def test_what_the_task_reports_travels_with_its_step():
    env = rlx.make_env(Reporting())
    agent = Stub(env.spec, num_envs=2, rollout_length=7)
    env_state, first = vector.reset(env, jax.random.key(0), 2)
    state = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))
    *_, rollout = collect(
        agent, env, state, env_state, first, EpisodeStatistics.zeros(2), jax.random.key(1), Clock.start(100)
    )
    assert rollout.info["taken"].T.tolist() == [[1, 2, 3, 4, 5, 1, 2]] * 2
