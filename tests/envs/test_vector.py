"""Many copies in parallel: auto-reset in every mode, both kinds of episode end, stable dtypes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment, EnvParams, EnvState

from rlx import registry
from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.types import Box, Discrete, MultiDiscrete

N, P = 4, 3


@struct.dataclass
class MarkedState(EnvState):
    mark: jax.Array
    own_key: jax.Array


class Marked(Environment):
    """Shows the mark drawn at reset, the step, and noise; terminates after 3 steps."""

    default_params = EnvParams(max_steps_in_episode=100)

    def reset_env(self, key, params):
        state = MarkedState(time=0, mark=jax.random.uniform(key), own_key=key)
        return jnp.array([state.mark, 0.0, 0.0]), state

    def step_env(self, key, state, action, params):
        state = dataclasses.replace(state, time=state.time + 1)
        obs = jnp.array([state.mark, state.time, jax.random.uniform(key)])
        return obs, state, 1, state.time == 3, {"doubled": 2 * state.time}

    def action_space(self, params):
        return spaces.Discrete(2)


def rollout(env, length):
    """Every VectorState and Timestep from the start on, as NumPy arrays."""
    reset, step = jax.jit(vector.reset, static_argnums=(0, 2)), jax.jit(vector.step, static_argnums=0)
    history = [reset(env, jax.random.key(0), N)]
    for i in range(length):
        history.append(step(env, history[-1][0], jnp.zeros(N, jnp.int32), jax.random.key(i + 1)))
    states, timesteps = zip(*history, strict=True)
    return states, jax.tree.map(lambda *x: np.stack(x), *timesteps)


@pytest.mark.parametrize("mode", ["fresh", "pool", "cached"])
def test_auto_reset_hands_over_both_observations(mode):
    env = make_env(Marked(), reset_mode=mode, pool_size=P)
    states, steps = rollout(env, 8)
    ends = np.array([False, False, False, True, False, False, True, False, False])
    np.testing.assert_array_equal(steps.terminated, np.repeat(ends[:, None], N, 1))
    assert not steps.truncated.any()
    np.testing.assert_array_equal(steps.episode_step[:, 0], [0, 1, 2, 0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(steps.reward[:, 0], [0, 1, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(steps.info["doubled"][:, 0], [0, 2, 4, 6, 2, 4, 6, 2, 4])
    np.testing.assert_array_equal(steps.obs[:, 0, 1], [0, 1, 2, 0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(steps.final_obs[:, 0, 1], [0, 1, 2, 3, 1, 2, 3, 1, 2])
    # The finished episode keeps its own mark; elsewhere the two observations are one.
    np.testing.assert_array_equal(steps.final_obs[3, :, 0], steps.obs[2, :, 0])
    np.testing.assert_array_equal(steps.final_obs[~ends], steps.obs[~ends])
    np.testing.assert_array_equal(steps.obs[5, :, 0], states[5].task_state.mark)
    assert states[0].task_state.own_key.shape == (N,)


def test_fresh_never_repeats_a_start():
    _, steps = rollout(make_env(Marked(), reset_mode="fresh"), 6)
    marks = steps.obs[[0, 3, 6], :, 0]
    assert len(np.unique(marks)) == 3 * N


def test_no_key_is_used_twice():
    _, steps = rollout(make_env(Marked()), 6)
    draws = np.concatenate([steps.final_obs[1:, :, 2].ravel(), steps.obs[[0, 3, 6], :, 0].ravel()])
    assert len(np.unique(draws)) == 6 * N + 3 * N


def test_cached_returns_to_its_own_first_start():
    _, steps = rollout(make_env(Marked(), reset_mode="cached"), 6)
    assert len(np.unique(steps.obs[0, :, 0])) == N
    np.testing.assert_array_equal(steps.obs[3, :, 0], steps.obs[0, :, 0])
    np.testing.assert_array_equal(steps.obs[6, :, 0], steps.obs[0, :, 0])


def test_pool_serves_its_entries_and_replaces_the_oldest():
    states, steps = rollout(make_env(Marked(), reset_mode="pool", pool_size=P), 60)
    pools = np.array([state.pool[1].mark for state in states])
    for i in range(1, 61):
        changed = np.flatnonzero(pools[i] != pools[i - 1])
        np.testing.assert_array_equal(changed, [(i - 1) % P])
    starts = [np.searchsorted(np.sort(pools[i]), steps.obs[i, :, 0]) for i in range(3, 61, 3)]
    for i, entries in zip(range(3, 61, 3), starts, strict=True):
        np.testing.assert_array_equal(np.sort(pools[i])[entries], steps.obs[i, :, 0])
    # 20 ends x 4 copies over 3 entries: each is drawn about 27 times; fewer than 10 has probability below 1e-5.
    assert np.bincount(np.concatenate(starts), minlength=P).min() >= 10


@pytest.mark.parametrize(("limit", "truncates"), [(2, True), (3, False)])
def test_truncation_and_termination_exclude_each_other(limit, truncates):
    _, steps = rollout(make_env(Marked(), max_episode_steps=limit), 6)
    ends = np.arange(7) % limit == 0
    ends[0] = False
    assert (steps.truncated == (ends & truncates)[:, None]).all()
    assert (steps.terminated == (ends & (not truncates))[:, None]).all()


def test_advance_does_not_reset():
    env = make_env(Marked(), max_episode_steps=2)
    state, first = vector.start(env, jax.random.key(0), N)
    step = first.episode_step
    for i in range(1, 4):
        state, timestep = vector.advance(env, state, step, jnp.zeros(N, jnp.int32), jax.random.key(i))
        step = timestep.episode_step
        np.testing.assert_array_equal(timestep.obs, timestep.final_obs)
        np.testing.assert_array_equal(timestep.obs[:, 0], first.obs[:, 0])
        np.testing.assert_array_equal(step, np.full(N, i))
        assert timestep.truncated.all() == (i == 2)
        assert timestep.terminated.all() == (i == 3)


@pytest.mark.parametrize(("limit", "steps"), [(5, 12), (None, 202), (300, 302)])
def test_time_limit_can_be_raised_and_lowered(limit, steps):
    env = make_env("gymnax/MountainCar-v0", max_episode_steps=limit)
    assert env.spec.max_episode_steps == env.params.max_steps_in_episode == (limit or 200)

    @jax.jit
    def ends(key):
        def step(carry, key):
            state, timestep = vector.step(env, carry, jnp.ones(1, jnp.int32), key)
            return state, (timestep.truncated[0], timestep.terminated[0])

        return jax.lax.scan(step, vector.reset(env, key, 1)[0], jax.random.split(key, steps))[1]

    truncated, terminated = ends(jax.random.key(0))
    expected = np.arange(1, steps + 1) % (limit or 200) == 0
    np.testing.assert_array_equal(truncated, expected)
    assert not terminated.any()


def example_actions(space):
    match space:
        case Discrete():
            return jnp.zeros(2, jnp.int32)
        case MultiDiscrete(nvec):
            return jnp.zeros((2, len(nvec)), jnp.int32)
        case Box(size):
            return jnp.zeros((2, size))


@pytest.mark.parametrize(
    "name", [name for name in registry.environments() if not name.startswith(("brax/", "jumanji/", "playground/"))]
)
def test_every_task_is_a_stable_carry(name):
    env = make_env(name)
    actions, key = example_actions(env.spec.action_space), jax.random.key(0)
    before = jax.eval_shape(lambda key: vector.reset(env, key, 2), key)
    after = jax.eval_shape(lambda carry, key: vector.step(env, carry[0], actions, key), before, key)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for was, now in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (was.shape, was.dtype, was.weak_type) == (now.shape, now.dtype, False)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(before))
    timestep = after[1]
    assert timestep.obs.shape == timestep.final_obs.shape == (2, *env.spec.obs_shape)
    assert timestep.obs.dtype == env.spec.obs_dtype
    assert timestep.reward.dtype == jnp.float32
    assert timestep.terminated.dtype == timestep.truncated.dtype == bool
    assert env.spec.max_episode_steps >= 1


def test_members_under_vmap_equal_members_alone():
    env = make_env(Marked(), reset_mode="pool", pool_size=P)

    def run(key):
        def step(state, key):
            state, timestep = vector.step(env, state, jnp.zeros(N, jnp.int32), key)
            return state, timestep.obs

        return jax.lax.scan(step, vector.reset(env, key, N)[0], jax.random.split(key, 4))[1]

    keys = jax.random.split(jax.random.key(7), 3)
    together, alone = jax.jit(jax.vmap(run))(keys), jax.jit(run)(keys[1])
    np.testing.assert_array_equal(together[1], alone)
    assert len(np.unique(together[:, 0, :, 0])) == 3 * N
