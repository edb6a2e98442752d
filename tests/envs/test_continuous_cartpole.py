import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import vector
from rlx.types import Box


@pytest.fixture(scope="module")
def env():
    return rlx.make_env("rlx/continuous-cartpole")


def by_hand(motion, push):
    """The classic task's equations as Barto et al. state them, in float64."""
    x, v, angle, spin = motion
    force, total, half = 10.0 * push, 1.1, 0.05
    temp = (force + half * spin**2 * math.sin(angle)) / total
    spin_up = (9.8 * math.sin(angle) - math.cos(angle) * temp) / (0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / total))
    speed_up = temp - half * spin_up * math.cos(angle) / total
    return [x + 0.02 * v, v + 0.02 * speed_up, angle + 0.02 * spin, spin + 0.02 * spin_up]


def test_an_episode_equals_the_formulas(env):
    assert env.spec.action_space == Box(1)
    assert (env.spec.obs_shape, env.spec.max_episode_steps, env.spec.counters) == ((4,), 500, ("power",))
    step = jax.jit(lambda state, count, action, key: vector.advance(env, state, count, action, key))
    state, timestep = vector.start(env, jax.random.key(0), 1)
    motion = np.float64(timestep.obs[0])
    assert np.abs(motion).max() <= 0.05
    for count in range(60):
        push = math.sin(count)
        state, timestep = step(state, jnp.full(1, count), jnp.full((1, 1), push), jax.random.key(1))
        speed, motion = motion[1], by_hand(motion, push)
        np.testing.assert_allclose(timestep.final_obs[0], motion, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(timestep.reward[0], 1 - 0.01 * push**2, rtol=1e-6)
        np.testing.assert_allclose(timestep.info["power"][0], abs(10 * push * speed), rtol=1e-3, atol=1e-4)
        fallen = abs(motion[0]) > 2.4 or abs(motion[2]) > 0.2095
        assert bool(timestep.terminated[0]) == fallen
        if fallen:
            break
    assert 10 < count < 59


@pytest.mark.parametrize(
    ("motion", "fallen"), [((2.39, 0, 0, 0), False), ((2.41, 0, 0, 0), True), ((0, 0, -0.22, 0), True)]
)
def test_it_falls_beyond_its_bounds(env, motion, fallen):
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    state = state.replace(motion=jnp.array(motion, jnp.float32))
    assert env.task.step_env(jax.random.key(0), state, jnp.zeros(1), env.params)[3] == fallen
