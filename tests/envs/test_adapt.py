"""What agents see of a task: actions, observations, masks, and the refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.classic_control.pendulum import Pendulum
from gymnax.environments.environment import Environment, EnvParams, EnvState

from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError
from rlx.types import Box, Discrete, MultiDiscrete


@struct.dataclass
class HeldState(EnvState):
    action: jax.Array


class Recorder(Environment):
    """Keeps the last action in its state; its spaces, observation and mask are given."""

    default_params = EnvParams(max_steps_in_episode=10)

    def __init__(self, space, action, obs=None, mask=None):
        self._space, self._action, self._obs = space, action, obs
        if mask is not None:
            self.action_mask = lambda state, params: mask

    def reset_env(self, key, params):
        return self._obs or jnp.zeros(1), HeldState(time=0, action=self._action)

    def step_env(self, key, state, action, params):
        return self._obs or jnp.zeros(1), HeldState(time=state.time + 1, action=action), 0.0, False, {}

    def action_space(self, params):
        return self._space


def received(env, action):
    """What the task gets when an agent acts."""
    state, timestep = vector.start(env, jax.random.key(0), 1)
    action = jnp.asarray(action)[None]
    return vector.advance(env, state, timestep.episode_step, action, jax.random.key(1))[0].action[0]


def test_boxes_of_any_shape_are_flat_and_scaled():
    low, high = jnp.array([[-1.0, 0.0], [2.0, -4.0]]), jnp.array([[1.0, 1.0], [6.0, -2.0]])
    env = make_env(Recorder(spaces.Box(low, high, (2, 2)), jnp.zeros((2, 2))))
    assert env.spec.action_space == Box(4)
    assert env.spec.action_shape == (4,)
    got = received(env, [0.25, -1.0, 1.0, 0.5])
    np.testing.assert_allclose(got, [[0.25, 0.0], [6.0, -2.5]], rtol=1e-6)
    np.testing.assert_allclose(received(env, [9.0, -9.0, 0.0, 0.0]), [[1.0, 0.0], [4.0, -3.0]])


def test_unit_box_is_passed_on_exactly():
    env = make_env(Recorder(spaces.Box(-1.0, 1.0, (3,)), jnp.zeros(3)))
    action = np.array([0.1, -0.7, 1 / 3], np.float32)
    np.testing.assert_array_equal(received(env, action), action)


LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-LARGEST, LARGEST),
        (-LARGEST, LARGEST / 2),
        (-LARGEST / 2, LARGEST),
        (LARGEST / 2, LARGEST),
        (-2e38, 2e38),
        (-1e38, 1e38),
        (-2.0, 5.0),
        (0.1, 0.7),
        (1e8, 1e8 + 64),
    ],
)
def test_all_finite_bounds_are_reached_and_never_left(low, high):
    env = make_env(Recorder(spaces.Box(low, high, (1,)), jnp.zeros(1)))
    inputs = np.array([-2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 7.0], np.float32)
    exact = low + (np.clip(inputs, -1, 1).astype(np.float64) + 1) * (high - low) / 2
    state, timestep = vector.start(env, jax.random.key(0), len(inputs))
    got = vector.advance(env, state, timestep.episode_step, inputs[:, None], jax.random.key(1))[0].action[:, 0]
    np.testing.assert_allclose(np.asarray(got, np.float64), exact, rtol=0, atol=2e-7 * max(-low, high))
    assert np.float32(low) <= got.min() <= got.max() <= np.float32(high)


@pytest.mark.parametrize("bounds", [(-np.inf, 1.0), (0.0, np.inf), (-np.inf, np.inf), (0.0, 1e39), (np.nan, 1.0)])
def test_bounds_that_are_not_finite_in_float32_are_refused(bounds):
    with pytest.raises(ConfigurationError, match="needs finite bounds with low < high"):
        make_env(Recorder(spaces.Box(*map(np.float64, bounds), (2,)), jnp.zeros(2)))


def test_scalar_box_becomes_a_vector():
    env = make_env(Recorder(spaces.Box(0.0, 10.0, ()), jnp.zeros(())))
    assert env.spec.action_space == Box(1)
    np.testing.assert_allclose(received(env, [-0.5]), 2.5)


def test_pendulum_equals_gymnax():
    task = Pendulum()
    env = make_env("gymnax/Pendulum-v1")
    key = jax.random.key(3)
    obs, state = task.reset_env(key, task.default_params)
    ours = env.task.reset_env(key, env.params)
    np.testing.assert_array_equal(ours[0], obs)
    theirs = task.step_env(key, state, jnp.array([1.2]), task.default_params)
    mine = env.task.step_env(key, ours[1], jnp.array([0.6]), env.params)
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(mine[2], theirs[2], rtol=1e-6)
    np.testing.assert_allclose(env.task.step_env(key, ours[1], jnp.array([5.0]), env.params)[1].last_u, 2.0)


def test_discretised_values_run_from_bound_to_bound():
    env = make_env("gymnax/Pendulum-v1", discretise=5)
    assert env.spec.action_space == Discrete(5)
    state, timestep = vector.start(env, jax.random.key(0), 5)
    state, _ = vector.advance(env, state, timestep.episode_step, jnp.arange(5), jax.random.key(1))
    np.testing.assert_allclose(state.last_u, [-2.0, -1.0, 0.0, 1.0, 2.0], atol=1e-6)


def test_discretised_dimensions_are_independent():
    env = make_env(
        Recorder(spaces.Box(jnp.array([0.0, -1.0]), jnp.array([4.0, 1.0]), (2,)), jnp.zeros(2)), discretise=3
    )
    assert env.spec.action_space == MultiDiscrete((3, 3))
    np.testing.assert_allclose(received(env, [2, 0]), [4.0, -1.0])


def test_own_space_declares_factored_actions():
    env = make_env(Recorder(MultiDiscrete((2, 5)), jnp.zeros(2, jnp.int32)))
    assert env.spec.action_space == MultiDiscrete((2, 5))
    np.testing.assert_array_equal(received(env, [1, 4]), [1, 4])


def test_structured_observations_become_one_vector():
    obs = {"a": jnp.array([[1, 2], [3, 4]]), "b": (True, 0.5)}
    env = make_env(Recorder(spaces.Discrete(2), jnp.zeros((), jnp.int32), obs))
    assert env.spec.obs_shape == (6,)
    assert env.spec.obs_dtype == "float32"
    np.testing.assert_array_equal(vector.start(env, jax.random.key(0), 1)[1].obs, [[1, 2, 3, 4, 1, 0.5]])


def test_scalar_observation_becomes_a_vector():
    env = make_env("gymnax/FrozenLake-misc", one_hot=False)
    assert env.spec.obs_shape == (1,)
    assert env.spec.obs_dtype == "int32"


def test_flatten_keeps_the_order_of_pixels():
    image, flat = make_env("gymnax/Breakout-MinAtar"), make_env("gymnax/Breakout-MinAtar", flatten=True)
    assert image.spec.obs_shape == (10, 10, 4)
    assert flat.spec.obs_shape == (400,)
    key = jax.random.key(0)
    pixels = np.asarray(vector.start(image, key, 2)[1].obs)
    np.testing.assert_array_equal(vector.start(flat, key, 2)[1].obs, pixels.reshape(2, 400))
    assert pixels.any()


def test_masks_belong_to_their_observations():
    env = make_env("rlx/probe-masked")
    assert env.spec.has_action_mask
    at_first, at_last = [True, True, False], [False, True, True]
    state, timestep = vector.reset(env, jax.random.key(0), 2)
    np.testing.assert_array_equal(timestep.action_mask, [at_first] * 2)
    np.testing.assert_array_equal(timestep.final_action_mask, [at_first] * 2)
    state, timestep = vector.step(env, state, jnp.ones(2, jnp.int32), jax.random.key(1))
    np.testing.assert_array_equal(timestep.action_mask, [at_last] * 2)
    _, timestep = vector.step(env, state, jnp.ones(2, jnp.int32), jax.random.key(2))
    np.testing.assert_array_equal(timestep.terminated, [True, True])
    np.testing.assert_array_equal(timestep.action_mask, [at_first] * 2)
    np.testing.assert_array_equal(timestep.final_action_mask, [at_last] * 2)
    assert vector.start(make_env("rlx/probe-action"), jax.random.key(0), 1)[1].action_mask is None


INT = jnp.zeros((), jnp.int32)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Recorder(spaces.Box(-jnp.inf, 1.0, (2,)), jnp.zeros(2)), {}, "Recorder.*finite bounds"),
        (Recorder(spaces.Box(1.0, 1.0, (2,)), jnp.zeros(2)), {}, "low < high"),
        (Recorder(spaces.Box(0, 3, (2,), jnp.int32), INT), {}, "rlx.types.MultiDiscrete"),
        (Recorder(spaces.Tuple([spaces.Discrete(2)]), INT), {}, "rlx.types.MultiDiscrete"),
        (Recorder(spaces.Discrete(2), INT), {"discretise": 3}, "leave it out"),
        (Recorder(spaces.Discrete(2), INT, mask=jnp.ones(3, bool)), {}, r"shape \[3\]; it must be \[2\]"),
        (Recorder(MultiDiscrete((2, 3)), jnp.zeros(2, jnp.int32), mask=jnp.ones(6, bool)), {}, r"must be \[5\]"),
        (Recorder(spaces.Box(0.0, 1.0, (2,)), jnp.zeros(2), mask=jnp.ones(2, bool)), {}, "for discrete actions"),
        (Recorder(spaces.Discrete(2), jnp.zeros(())), {}, r"state\.action is float32\[\] .* int32\[\]"),
        (Recorder(spaces.Discrete(2), jnp.zeros((2,), jnp.int32)), {}, r"int32\[2\] .* int32\[\]"),
        (Recorder(spaces.Discrete(2), None), {}, "another structure"),
    ],
)
def test_unfit_tasks_are_refused(task, options, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_env(task, **options)
    assert "\n" not in str(error.value)


def test_discrete_spaces_keep_their_size():
    assert make_env("gymnax/Seaquest-MinAtar").spec.action_space == Discrete(6)
