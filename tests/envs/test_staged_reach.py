import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import vector
from rlx.types import Box


@pytest.fixture(scope="module")
def played():
    """Rows of an episode of 50 steps: observation, action, reward and the observation after, all in NumPy."""
    env = rlx.make_env("rlx/staged-reach", action_size=5)
    assert env.spec.action_space == Box(5)
    assert (env.spec.obs_shape, env.spec.max_episode_steps) == ((7,), 50)
    step = jax.jit(lambda state, count, action, key: vector.advance(env, state, count, action, key))
    state, timestep = vector.start(env, jax.random.key(0), 8)
    rng, rows = np.random.default_rng(0), []
    for count in range(50):
        obs = np.float64(timestep.obs)
        action = np.clip(rng.normal(0.5, 0.5, size=(8, 5)), -1, 1).astype(np.float32)
        state, timestep = step(state, jnp.full(8, count), action, jax.random.key(count))
        rows.append((obs, action, np.asarray(timestep.reward), np.asarray(timestep.final_obs)))
        assert not timestep.terminated.any()
        assert (timestep.truncated == (count == 49)).all()
    return [np.stack(part) for part in zip(*rows, strict=True)]


def test_rewards_and_moves_equal_the_formulas(played):
    obs, action, reward, after = played
    away = obs[..., :2] <= 0.5
    expected = np.where(away.any(-1), (away * action[..., :2]).sum(-1), 1 + 1.5 * action[..., 2])
    assert np.abs(reward - expected).max() <= 0.05 + 1e-6
    assert 0.02 < np.std(reward - expected) < 0.04
    np.testing.assert_allclose(after[..., :2], np.clip(obs[..., :2] + 0.1 * action[..., :2], -1, 1), atol=1e-6)
    np.testing.assert_array_equal(after[..., 2], (after[..., :2] > 0.5).all(-1))
    assert 0 < after[..., 2].mean() < 1


def test_episodes_begin_far_away_and_distractors_fade_slowly(played):
    obs, _, _, after = played
    assert ((obs[0, :, :2] >= -1) & (obs[0, :, :2] <= -0.5)).all()
    noise = after[..., 3:] - 0.9 * obs[..., 3:]
    # Of a Laplace distribution of scale 0.3 the mean size is 0.3.
    np.testing.assert_allclose(np.abs(noise).mean(), 0.3, atol=0.03)
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.03)


def test_a_task_without_its_three_dimensions_is_refused():
    with pytest.raises(rlx.ConfigurationError, match="action_size=2 is too few"):
        rlx.make_env("rlx/staged-reach", action_size=2)
