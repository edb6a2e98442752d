import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import vector
from rlx.envs.deceptive_bandit import hills
from rlx.types import Box


@pytest.mark.parametrize(
    ("action", "height"),
    [(-0.3, 1.0), (-0.1, 0.606530660), (0.7, 2.0000037), (0.78, 1.213061489), (0.25, 0.022794450), (-1.0, 0.002187491)],
)
def test_the_hills(action, height):
    np.testing.assert_allclose(hills(jnp.float32(action)), height, rtol=2e-5)


def test_an_episode_is_one_step_that_pays_the_first_dimension():
    env = rlx.make_env("rlx/deceptive-bandit")
    assert env.spec.action_space == Box(10)
    state, timestep = vector.start(env, jax.random.key(0), 1_000)
    obs = np.float64(timestep.obs)
    np.testing.assert_allclose(obs.std(0), np.ones(3), atol=0.1)
    action = np.random.default_rng(0).uniform(-1, 1, size=(1_000, 10)).astype(np.float32)
    action[:, 0] = 0.7
    _, timestep = vector.advance(env, state, jnp.zeros(1_000, jnp.int32), action, jax.random.key(1))
    noise = np.asarray(timestep.reward) - (2 * 2.0000037 + 0.3 * obs[:, 0])
    assert np.abs(noise).max() <= 0.1 + 1e-5
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.2 / np.sqrt(12)], atol=0.01)
    assert timestep.terminated.all()
    assert not timestep.truncated.any()
    np.testing.assert_allclose(timestep.final_obs, obs, rtol=1e-6)


def test_no_task_is_refused():
    with pytest.raises(rlx.ConfigurationError, match="take at least 1"):
        rlx.make_env("rlx/deceptive-bandit", action_size=0)
