"""`make_env`: names, options, the user's own tasks, and one-line refusals."""

import gymnax
import jax
import numpy as np
import pytest
from gymnax.environments.classic_control.cartpole import CartPole
from gymnax.environments.environment import EnvParams

from rlx import registry
from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.envs.probes import Action, Constant
from rlx.errors import ConfigurationError
from rlx.types import Box, Discrete, EnvSpec


def test_spec_says_what_an_agent_may_know():
    env = make_env("gymnax/CartPole-v1")
    assert env.spec == EnvSpec("gymnax/CartPole-v1", (4,), "float32", Discrete(2), 500)
    assert env.name == "gymnax/CartPole-v1"
    assert env.reset_mode == "fresh"
    assert hash(env) != hash(make_env("gymnax/CartPole-v1"))


def test_families_list_their_tasks():
    names = registry.environments()
    assert {"gymnax/FrozenLake-misc", "brax/ant", "rlx/probe-masked"} <= set(names)
    assert len(names) == len(set(names))
    assert sum(name.startswith("gymnax/") for name in names) >= 25
    assert sum(name.startswith("rlx/probe-") for name in names) == 13
    assert not any("MNIST" in name or "gymnax/rlx" in name for name in names)


def test_options_reach_constructor_and_parameters():
    env = make_env("gymnax/DeepSea-bsuite", size=5, unscaled_move_cost=1)
    assert env.spec.obs_shape == (5, 5)
    assert env.spec.max_episode_steps == 5
    assert env.params.unscaled_move_cost == 1.0
    assert isinstance(env.params.unscaled_move_cost, float)
    assert make_env("rlx/probe-constant", continuous=True).spec.action_space == Box(1)


def test_array_parameters_keep_their_dtype():
    env = make_env("gymnax/DiscountingChain-bsuite", reward_timestep=[1, 2, 3, 4, 5])
    assert env.params.reward_timestep.dtype == np.int32
    np.testing.assert_array_equal(env.params.reward_timestep, [1, 2, 3, 4, 5])


def test_gravity_changes_the_physics():
    key, action = jax.random.key(0), np.int32(0)
    angles = []
    for gravity in (9.8, 30.0):
        env = make_env("gymnax/CartPole-v1", gravity=gravity)
        _, state = env.task.reset_env(key, env.params)
        angles.append(float(env.task.step_env(key, state, action, env.params)[1].theta_dot))
    assert angles[0] != angles[1]


def test_objects_plug_in_unchanged():
    env = make_env(CartPole(), gravity=12, max_episode_steps=7)
    assert env.name == "CartPole-v1"
    assert env.params.gravity == 12.0
    assert env.params.max_steps_in_episode == 7
    given = CartPole().default_params.replace(length=0.7, max_steps_in_episode=20)
    env = make_env(CartPole(), params=given)
    assert env.params == given
    assert env.spec.max_episode_steps == 20


def test_registered_tasks_are_found():
    gymnax.register("mine/Probe-v0", Action)
    env = make_env("gymnax/mine/Probe-v0")
    assert "gymnax/mine/Probe-v0" in registry.environments()
    assert vector.start(env, jax.random.key(0), 3)[1].obs.shape == (3, 1)


def test_parameters_without_a_time_limit():
    class Endless(Constant):
        default_params = None

        def is_truncated(self, state, params):
            return False

    assert make_env(Endless()).spec.max_episode_steps is None
    assert make_env(Endless(), max_episode_steps=3).spec.max_episode_steps == 3


def test_config_makes_the_same_environment_again():
    params = CartPole().default_params.replace(length=0.7, max_steps_in_episode=20)
    for env in (
        make_env("gymnax/CartPole-v1", params=params, reset_mode="pool", pool_size=9),
        make_env("gymnax/Pendulum-v1", discretise=3, max_torque=1.5, max_episode_steps=11),
    ):
        again = make_env(**env.config)
        assert again.spec == env.spec
        assert again.params == env.params
        assert (again.reset_mode, again.pool_size) == (env.reset_mode, env.pool_size)
        assert again.config == env.config


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gymnax/CartPol-v1", {}, "did you mean 'CartPole-v1'"),
        ("gymnx/CartPole-v1", {}, "did you mean 'gymnax'"),
        ("CartPole-v1", {}, "did you mean 'gymnax/CartPole-v1'"),
        ("rlx/probe-action-obsevation", {}, "did you mean 'probe-action-observation'"),
        ("brax/halfcheeta", {}, "did you mean 'halfcheetah'"),
        ("brax/swimmer", {}, "cannot run"),
        ("brax/ant", {"backend": "sprung"}, "did you mean 'spring'"),
        ("brax/inverted_pendulum", {"n_farms": 1}, "no option 'n_farms'"),
        ("gymnax/CartPole-v1", {"gravty": 1.0}, "did you mean 'gravity'"),
        ("gymnax/DeepSea-bsuite", {"siz": 4}, "did you mean 'size'"),
        ("gymnax/CartPole-v1", {"gravity": "heavy"}, "gravity='heavy' does not fit"),
        ("gymnax/CartPole-v1", {"max_steps_in_episode": 2.5}, "max_steps_in_episode=2.5 does not fit"),
        ("gymnax/DiscountingChain-bsuite", {"reward_timestep": [1, 2]}, "does not fit"),
        ("gymnax/FrozenLake-misc", {"map_name": "5x5"}, "map_name must be"),
        ("gymnax/CartPole-v1", {"max_episode_steps": 0}, "env.max_episode_steps=0 is out of range; it must lie in"),
        ("gymnax/CartPole-v1", {"max_episode_steps": 1.5}, "max_episode_steps=1.5 has the wrong type"),
        ("gymnax/Pendulum-v1", {"discretise": 1}, "env.discretise=1 is out of range; .*2, 65536"),
        ("gymnax/CartPole-v1", {"pool_size": 0}, "env.pool_size=0 is out of range"),
        ("gymnax/CartPole-v1", {"reset_mode": "fesh"}, "did you mean 'fresh'"),
        (CartPole(), {"gravty": 1.0}, "did you mean 'gravity'"),
        (CartPole, {}, "takes a name or a Gymnax environment object"),
    ],
)
def test_mistakes_are_refused_in_one_line(name, options, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_missing_data_is_reported(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(gymnax, "make", unreachable)
    with pytest.raises(ConfigurationError, match="needs data that could not be downloaded"):
        make_env("gymnax/MNISTBandit-bsuite")


def test_own_parameters_without_fields_take_no_options():
    class Bare(Constant):
        default_params = EnvParams(max_steps_in_episode=4)

    with pytest.raises(ConfigurationError, match="no option 'speed'; options: max_steps_in_episode"):
        make_env(Bare(), speed=3)
