import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from stub import Stub, StubState

import rlx
from rlx.envs.probes import Truncated
from rlx.runner.collect import collect, set_scene
from rlx.runner.episodes import Episodes
from rlx.types import Clock, Memory, Needs, Timestep

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
    """The account of all steps, restarted before that step, as an environment with auto-reset would give it."""
    statistics, previous = Episodes.start(N), timestep(np.zeros(N), [False] * N, [False] * N, [0, 0])
    after = jax.jit(Episodes.after)
    for step in range(len(REWARDS)):
        if step == restart_before:
            statistics = statistics.new_window(jnp.bool_(True))
        ended = TERMINATED[step] | TRUNCATED[step]
        episode_step = np.where(ended, 0, previous.episode_step + 1)
        following = timestep(REWARDS[step], TERMINATED[step], TRUNCATED[step], episode_step)
        statistics, totals = after(statistics, previous, following)
        previous = following
        np.testing.assert_array_equal(jnp.where(ended, 0, totals), statistics.running.value)
    return statistics


def test_episode_statistics_are_those_of_a_loop():
    for restart_before in (None, 3):  # in the middle of both environments' episodes
        statistics = statistics_after(restart_before)
        for env in range(N):
            counted = [end for end in episodes_by_hand(env) if end[0] >= (restart_before or 0)]
            assert statistics.ended[env] == len(counted)
            assert statistics.returns.value[env] == sum(end[1] for end in counted)
            assert statistics.lengths[env] == sum(end[2] for end in counted)
    assert statistics_after(None).returns.value.tolist() == [4.0 + 3.0 + 24.0, 4.0 + 8.0]
    assert statistics_after(None).running.value.tolist() == [0.0, 36.0]


STATE = StubState(params=jnp.zeros(3), memory=jnp.zeros(2))


def rollout_of(agent, env, key=1):
    """The scene after a first rollout, and the rollout."""
    scene = set_scene(agent, env, STATE, jax.random.key(0))
    clock = Clock.start(100, agent.num_envs * agent.rollout_length)
    return jax.jit(lambda scene: collect(agent, env, STATE, scene, jax.random.key(key), clock))(scene)


def test_a_rollout_holds_the_step_before_the_reset():
    """In probe-terminated the observation counts the steps left, and a new episode starts at 1 to 3."""
    env = rlx.make_env("rlx/probe-terminated")
    scene, rollout = rollout_of(Stub(env.spec, num_envs=4, rollout_length=9), env)
    obs, next_obs = np.asarray(rollout.obs)[..., 0], np.asarray(rollout.next_obs)[..., 0]
    assert obs.shape == (9, 4)
    np.testing.assert_array_equal(next_obs, obs - 1)
    np.testing.assert_array_equal(rollout.terminated, next_obs == 0)
    assert not rollout.truncated.any()
    following = np.concatenate([obs[1:], np.asarray(scene.timestep.obs)[None, :, 0]])
    going_on = ~np.asarray(rollout.terminated)
    np.testing.assert_array_equal(following[going_on], next_obs[going_on])
    assert set(following[~going_on]) <= {1.0, 2.0, 3.0}
    assert scene.episodes.ended.sum() == rollout.terminated.sum()
    assert scene.episodes.returns.value.sum() + scene.episodes.running.value.sum() == 9 * 4


def test_truncation_is_told_from_termination():
    env = rlx.make_env("rlx/probe-truncated")
    _, rollout = rollout_of(Stub(env.spec, num_envs=1, rollout_length=11), env)
    assert np.flatnonzero(rollout.truncated[:, 0]).tolist() == [4, 9]
    assert not rollout.terminated.any()


@struct.dataclass
class Watching(Stub):
    """Begins every rollout with new episodes, and remembers the rewards and number of timesteps seen."""

    of_state: bool = struct.field(pytree_node=False, default=True)

    @property
    def needs(self):
        start = lambda state, num_envs: state.memory  # noqa: E731
        observe = lambda state, memory, timestep: memory + jnp.stack([timestep.reward.sum(), 1.0])  # noqa: E731
        memory = Memory(start, observe, of_state=self.of_state)
        return Needs(self.num_envs, self.rollout_length, fresh_episodes=True, memory=memory)

    def act(self, state, timestep, key, clock):
        action, _ = super().act(state, timestep, key, clock)
        return action, {"memory": timestep.memory}


@pytest.mark.parametrize("of_state", [True, False])
def test_a_rollout_that_begins_with_new_episodes_and_an_agent_that_remembers(of_state):
    """In probe-truncated each step's reward is 1, and episodes are 5 steps long."""
    env = rlx.make_env("rlx/probe-truncated")
    agent = Watching(env.spec, num_envs=2, rollout_length=7, of_state=of_state)
    scene = set_scene(agent, env, STATE, jax.random.key(0))
    for rollouts in (1, 2):
        scene, rollout = collect(agent, env, STATE, scene, jax.random.key(rollouts), Clock.start(100, 14))
        assert np.flatnonzero(rollout.truncated[:, 0]).tolist() == [4]
        # What it acts on: the start, and then a reward of 1 in each of 2 environments.
        before = np.zeros(2) if of_state or rollouts == 1 else np.array([12, 7])
        seen = before + np.array([[2 * step, step + 1] for step in range(7)])
        np.testing.assert_array_equal(rollout.extras["memory"], seen)
        # The two steps after the first episode count for none.
        assert scene.episodes.returns.value.tolist() == [5.0 * rollouts] * 2
        assert scene.episodes.lengths.tolist() == [5.0 * rollouts] * 2
        assert scene.episodes.ended.tolist() == [rollouts] * 2
    assert STATE.memory.tolist() == [0.0, 0.0]


def test_new_episodes_begin_anew_in_each_rollout():
    env = rlx.make_env("gymnax/CartPole-v1")
    agent = Watching(env.spec, num_envs=2, rollout_length=1)
    scene = set_scene(agent, env, STATE, jax.random.key(0))
    starts = [scene.timestep.obs]
    for key in jax.random.split(jax.random.key(1), 2):
        scene, rollout = collect(agent, env, STATE, scene, key, Clock.start(100, 2))
        starts.append(rollout.obs[0])
    assert len(np.unique(np.stack(starts).reshape(6, 4), axis=0)) == 6


class Reporting(Truncated):
    """Reports the steps taken in the episode, the last one included."""

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, _ = super().step_env(key, state, action, params)
        return obs, state, reward, terminated, {"taken": state.time}


def test_what_the_task_reports_travels_with_its_step():
    env = rlx.make_env(Reporting())
    _, rollout = rollout_of(Stub(env.spec, num_envs=2, rollout_length=7), env)
    assert rollout.info["taken"].T.tolist() == [[1, 2, 3, 4, 5, 1, 2]] * 2
    assert rollout.task_state is None


@struct.dataclass
class Rewinding(Stub):
    """Wants the states it acted in."""

    @property
    def needs(self):
        return Needs(self.num_envs, self.rollout_length, task_states=True)


def test_the_states_acted_in_travel_along_if_asked_for():
    env = rlx.make_env("rlx/probe-terminated")
    _, rollout = rollout_of(Rewinding(env.spec, num_envs=2, rollout_length=7), env)
    np.testing.assert_array_equal(rollout.task_state.obs, rollout.obs)


def test_masks_belong_to_the_observations_beside_them():
    """In probe-masked the third action is forbidden at first, and the first one from then on, at the end as well."""
    env = rlx.make_env("rlx/probe-masked")
    scene, rollout = rollout_of(Stub(env.spec, num_envs=2, rollout_length=5), env)
    first, later = [True, True, False], [False, True, True]
    np.testing.assert_array_equal(rollout.action_mask, [[mask] * 2 for mask in (first, later, first, later, first)])
    np.testing.assert_array_equal(rollout.next_action_mask, [[later] * 2] * 5)
    np.testing.assert_array_equal(scene.timestep.action_mask, [later] * 2)
