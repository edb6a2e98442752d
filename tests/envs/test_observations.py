"""Codes one-hot where a task's observation space says that they are codes, and bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.types import Discrete, MultiDiscrete

KEY = jax.random.key(0)


class Shown(Environment):
    """Shows ``obs`` and declares ``space``."""

    name, default_params = "Shown", None

    def __init__(self, obs, space=None):
        self.obs, self.space = obs, space

    def reset_env(self, key, params):
        return self.obs, jnp.zeros(())

    def step_env(self, key, state, action, params):
        return self.obs, state, 0.0, False, {}

    def action_space(self, params):
        return spaces.Discrete(2)

    def observation_space(self, params):
        if self.space is None:
            raise NotImplementedError
        return self.space


def seen(obs, space, **options):
    return np.asarray(vector.start(make_env(Shown(obs, space), **options), KEY, 1)[1].obs[0])


IMAGE = np.array([[[0], [51]], [[255], [102]]], np.uint8)
BOARD = np.array([[[0], [3]], [[1], [0]]], np.uint8)


@pytest.mark.parametrize(
    ("obs", "space", "expected"),
    [
        (jnp.int32(2), spaces.Discrete(4), [0, 0, 1, 0]),
        (3, Discrete(4), [0, 0, 0, 1]),
        (jnp.array([1], jnp.int8), spaces.Discrete(2), [0, 1]),
        (np.array([1, 0, 2]), MultiDiscrete((2, 1, 3)), [0, 1, 1, 0, 0, 1]),
        (np.array([[1, 0], [0, 1]]), MultiDiscrete((2,) * 4), [0, 1, 1, 0, 1, 0, 0, 1]),
        ({"b": 1, "a": np.float32(7)}, spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(0, 9, ())}), [7, 0, 1, 0]),
        ((1, {"x": 0}), spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": Discrete(2)})]), [0, 1, 1, 0]),
        # What is no code, or is not declared, stays as it is.
        (jnp.float32(2), spaces.Discrete(4), [2]),
        (np.arange(3), spaces.Discrete(4), [0, 1, 2]),
        ((1, 5), spaces.Tuple([spaces.Discrete(2)]), [0, 1, 5]),
        ({"x": 4}, spaces.Discrete(9), [4]),
        (4, spaces.Box(0, 9, (), jnp.int32), [4]),
        (4, None, [4]),
        # Bytes among other things are brightness too, but for codes.
        ({"step": 2, "image": IMAGE}, None, [0, 0.2, 1, 0.4, 2]),
        (
            {"step": 2, "board": BOARD},
            spaces.Dict({"board": spaces.Box(0, 3, BOARD.shape, jnp.uint8)}),
            [0, 3, 1, 0, 2],
        ),
    ],
    ids=str,
)
def test_what_agents_see(obs, space, expected):
    found = seen(obs, space)
    np.testing.assert_allclose(found, np.array(expected, np.float64), rtol=1e-6)
    assert found.ndim == 1


def test_codes_are_float32_or_on_demand_their_number():
    assert seen(2, spaces.Discrete(4)).dtype == np.float32
    number = seen(2, spaces.Discrete(4), one_hot=False)
    assert (number.tolist(), number.dtype) == ([2], np.int32)


def test_the_position_on_the_frozen_lake_is_one_hot():
    env = make_env("gymnax/FrozenLake-misc")
    assert (env.spec.obs_shape, env.spec.obs_dtype) == ((16,), "float32")
    state, timestep = vector.start(env, KEY, 1)
    for _ in range(3):
        np.testing.assert_array_equal(timestep.obs[0], np.eye(16)[int(state.position[0])])
        state, timestep = vector.advance(env, state, timestep.episode_step, jnp.ones(1, jnp.int32), KEY)
    assert make_env("gymnax/FrozenLake-misc", sticky_actions=0.1).spec.obs_shape == (16,)
    assert make_env(**env.config).spec == env.spec


@pytest.mark.parametrize(
    ("high", "dtype"), [(None, np.uint8), (255, np.uint8), (200, np.uint8), (127, np.int8), (1, np.int8)]
)
def test_bytes_stay_bytes_and_codes_in_them_are_int8(high, dtype):
    space = None if high is None else spaces.Box(0, high, IMAGE.shape, jnp.uint8)
    found = seen(BOARD, space)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, BOARD)
    assert seen(BOARD, space, flatten=True).tolist() == [0, 3, 1, 0]
