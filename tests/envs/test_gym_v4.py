"""What actions of Brax's humanoid mean, and the power of its actuators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.envs.api import make_env
from rlx.envs.brax import BraxTask
from rlx.envs.gym_v4 import Unclamped
from rlx.errors import ConfigurationError


class Pushed:
    """A task that tells what was applied, and charges it as Brax's humanoid does."""

    def step_env(self, key, state, action, params):
        return action, state, 5.0 - 0.1 * jnp.square(0.4 * action).sum(), False, {}


@pytest.mark.parametrize(
    ("action", "applied", "reward"),
    [(0.2, 0.5, 5 - 17 * 0.1 * 0.04), (0.4, 1.0, 5 - 17 * 0.1 * 0.16), (1.0, 1.0, 5 - 17 * 0.1), (-1.0, -1.0, 5 - 1.7)],
)
def test_torques_saturate_and_the_whole_action_costs(action, applied, reward):
    """1.0 and 0.4 in all 17 joints move alike, and differ by 17 * 0.1 * (1 - 0.16) = 1.428 in the reward."""
    found, _, paid, *_ = Unclamped(Pushed()).step_env(None, None, jnp.full(17, action), None)
    np.testing.assert_allclose(found, applied, rtol=1e-6)
    np.testing.assert_allclose(paid, reward, rtol=1e-6)


def test_the_humanoid_takes_either_meaning():
    native, gym = (make_env("brax/humanoid", action_semantics=how) for how in ("native", "gym_v4"))
    assert native.spec == gym.spec
    assert isinstance(native.task.inner, BraxTask)
    assert isinstance(gym.task.inner, Unclamped)
    assert make_env(**gym.config).task.inner.inner.name == "humanoid"


def test_other_meanings_are_refused():
    with pytest.raises(ConfigurationError, match=r"unknown action_semantics 'gym' .*there are native, gym_v4"):
        make_env("brax/inverted_pendulum", action_semantics="gym")
    with pytest.raises(ConfigurationError, match="action_semantics=gym_v4 is of brax/humanoid only"):
        make_env("brax/inverted_pendulum", action_semantics="gym_v4")


def test_power_is_torque_times_velocity():
    """Of the inverted pendulum's one actuator: a force of 3 times gear 100 on its slider."""
    env = make_env("brax/inverted_pendulum")
    system = env.task.inner.env.sys
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    body = state.pipeline_state.replace(qd=jnp.array([0.5, -2.0]))
    force = float(system.actuator.gear[0]) * float(system.actuator.gain[0]) * float(system.actuator.ctrl_range[0, 1])
    for action in (1.0, -0.5):
        found = env.task.inner.power(body, jnp.array([action]))
        np.testing.assert_allclose(found, abs(action * force * 0.5), rtol=1e-5)
