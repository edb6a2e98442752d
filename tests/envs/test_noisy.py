import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import vector

NUMBER = 20_000


def steps(**noise):
    """Start and first step of many copies of the factor regulator, whose start is drawn and whose step is not."""
    env = rlx.make_env("rlx/factor-regulator", num_components=1, **noise)
    state, start = vector.start(env, jax.random.key(0), NUMBER)
    action = jnp.ones((NUMBER, 1), jnp.int32)
    _, after = vector.advance(env, state, jnp.zeros(NUMBER, jnp.int32), action, jax.random.key(1))
    return np.asarray(start.obs), np.asarray(after.obs), np.asarray(after.reward)


def test_noise_is_gaussian_of_the_stated_deviation_on_what_is_returned():
    start, after, _ = steps(reward_noise=0.1, obs_noise=0.2)
    # A mass at rest that nobody pushes stays at rest: its velocity is 0, and its position what it was.
    for noise in (start[:, 1], after[:, 1], (after[:, 0] - start[:, 0]) / np.sqrt(2)):
        np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 0.2], atol=0.006)
    np.testing.assert_allclose(np.corrcoef(start[:, 1], after[:, 1])[0, 1], 0.0, atol=0.03)


def test_reward_noise_leaves_the_task_and_its_observations_alone():
    _, after, reward = steps(reward_noise=0.1)
    noise = reward - np.exp(-4 * after[:, 0] ** 2)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 0.1], atol=0.003)
    assert not after[:, 1].any()


def test_masks_and_time_limits_are_those_of_the_task():
    env = rlx.make_env("rlx/probe-masked", reward_noise=0.1)
    assert env.spec.has_action_mask
    assert env.spec.max_episode_steps == rlx.make_env("rlx/probe-masked").spec.max_episode_steps


def test_observations_that_are_no_real_numbers_are_refused():
    with pytest.raises(rlx.ConfigurationError, match="obs_noise needs observations of real numbers; leave it out"):
        rlx.make_env("rlx/microrts-4x4", obs_noise=0.1)
