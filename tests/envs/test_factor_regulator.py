import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import vector
from rlx.types import MultiDiscrete


def test_an_episode_equals_the_formulas():
    env = rlx.make_env("rlx/factor-regulator", num_components=4, bins=5)
    assert env.spec.action_space == MultiDiscrete((5,) * 4)
    assert (env.spec.obs_shape, env.spec.max_episode_steps) == ((8,), 50)
    state, timestep = vector.start(env, jax.random.key(0), 1)
    x, v = np.split(np.float64(timestep.obs[0]), 2)
    assert (np.abs(x) <= 1).all()
    assert not v.any()
    rng = np.random.default_rng(0)
    step = jax.jit(lambda state, count, action: vector.advance(env, state, count, action, jax.random.key(1)))
    for count in range(50):
        action = rng.integers(0, 5, size=4)
        state, timestep = step(state, jnp.full(1, count), action[None])
        v = 0.8 * v + 0.2 * (action / 2 - 1)
        x = np.clip(x + 0.3 * v, -2, 2)
        np.testing.assert_allclose(timestep.obs[0], np.concatenate([x, v]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(timestep.reward[0], np.exp(-4 * np.mean(x**2)), rtol=1e-4)
        assert not timestep.terminated[0]
        assert bool(timestep.truncated[0]) == (count == 49)


def test_one_mass_that_is_away_hides_the_others():
    """A regulated mass earns nothing beside one at 2."""
    env = rlx.make_env("rlx/factor-regulator", num_components=2)
    state, timestep = vector.start(env, jax.random.key(0), 1)
    away = jax.tree.map(lambda leaf: leaf, state).replace(position=jnp.array([[0.0, 2.0]]), velocity=jnp.zeros((1, 2)))
    _, timestep = vector.advance(env, away, jnp.zeros(1, jnp.int32), jnp.array([[1, 2]]), jax.random.key(1))
    np.testing.assert_allclose(timestep.reward, np.exp(-8.0), rtol=1e-5)


@pytest.mark.parametrize("options", [{"num_components": 0}, {"bins": 1}])
def test_no_task_is_refused(options):
    with pytest.raises(rlx.ConfigurationError, match="take at least 1 component of 2 bins"):
        rlx.make_env("rlx/factor-regulator", **options)
