"""Playground: the adapter equals the bare environments, repeats actions, and keeps time limits and ends apart."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import mujoco_playground
import numpy as np
import pytest
from ml_collections import config_dict
from mujoco_playground import dm_control_suite

import rlx
from rlx.envs import playground as playground_family
from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError
from rlx.runner.checkpoint import Checkpoints
from rlx.task_names import names_of
from rlx.types import Box, EnvSpec

# Four control steps a decision, so the limit of 10 control steps comes after 3 decisions.
N, P, REPEAT, LIMIT = 2, 3, 4, 3

# Sizes of the observation and the action in Tassa et al. 2018, section 6.
SIZES = {
    "AcrobotSwingup": (6, 1),
    "CartpoleSwingup": (5, 1),
    "PendulumSwingup": (3, 1),
    "PointMass": (4, 2),
}


def counter(config, config_overrides):
    """A task without physics: counts control steps, rewards with the count, and breaks down at ``config.end``."""
    config.update_from_flattened_dict(config_overrides)

    def state(count, reward, done):
        broken = jnp.where(done > 0, jnp.nan, 0.0)
        metrics = {"count": count + broken}
        return mujoco_playground.State(count, count[None] + broken, reward + broken, done, metrics, {})

    def step(before, action):
        # Beyond the end it counts on as if nothing had happened: the adapter must not listen any more.
        count = before.data + 1
        return state(count, count * action[0], (count == config.end).astype(float))

    return SimpleNamespace(
        reset=lambda key: state(*jnp.zeros(3)), step=step, action_size=1, n_substeps=1, dt=0.01, sim_dt=0.01
    )


def counter_config():
    return config_dict.create(ctrl_dt=0.01, sim_dt=0.01, episode_length=10, action_repeat=1, impl="warp", end=6)


dm_control_suite.register_environment("Counter", counter, counter_config)


def played(env, actions, num_envs=N):
    """The state before, the action, the state after and the timestep of each step; the first row is the reset."""
    state, first = jax.jit(vector.reset, static_argnums=(0, 2))(env, jax.random.key(0), num_envs)
    step = jax.jit(vector.step, static_argnums=0)
    rows = [(None, None, state, first)]
    for i, action in enumerate(actions):
        after, timestep = step(env, state, action, jax.random.key(200 + i))
        rows.append((state, action, after, timestep))
        state = after
    return rows


@pytest.fixture(scope="module")
def env():
    return make_env("playground/PendulumSwingup", action_repeat=REPEAT, max_episode_steps=LIMIT, pool_size=P)


@pytest.fixture(scope="module")
def history(env):
    return played(env, jax.random.uniform(jax.random.key(1), (5, N, 1), minval=-1.0, maxval=1.0))


def test_a_decision_equals_single_steps_of_bare_playground(history):
    bare = dm_control_suite.load("PendulumSwingup", config_overrides={"impl": "jax"})
    step = jax.jit(jax.vmap(bare.step))
    largest = 0.0
    for before, action, _, timestep in history[1:]:
        states, rewards = before.task_state, np.zeros(N)
        for _ in range(REPEAT):
            states = step(states, action)
            rewards += np.asarray(states.reward)
        np.testing.assert_allclose(timestep.final_obs, states.obs, atol=1e-5)
        np.testing.assert_allclose(timestep.reward, rewards, atol=1e-5)
        assert not timestep.terminated.any()
        assert not np.allclose(timestep.final_obs, before.task_state.obs, atol=1e-3)
        largest = max(largest, np.abs(states.obs[:, 2]).max())
    assert largest > 0.1  # the pendulum's velocity: the actions reach it


def test_episodes_are_truncated_and_start_from_the_pool(history):
    truncated = [timestep.truncated.tolist() for *_, timestep in history]
    assert truncated == [[False] * N] * 3 + [[True] * N] + [[False] * N] * 2
    _, _, after, timestep = history[LIMIT]
    np.testing.assert_array_equal(timestep.terminated, [False] * N)
    np.testing.assert_array_equal(timestep.episode_step, [0, 0])
    pool = np.asarray(after.pool[0])
    assert pool.shape == (P, 3)
    for obs in np.asarray(timestep.obs):
        assert any((obs == entry).all() for entry in pool)
    assert not np.allclose(timestep.obs, timestep.final_obs)
    np.testing.assert_array_equal(after.task_state.obs, timestep.obs)


def test_a_termination_within_a_decision():
    rows = played(make_env("playground/Counter", action_repeat=REPEAT), jnp.full((3, N, 1), 0.5))
    timesteps = [timestep for *_, timestep in rows[1:]]
    # The sixth control step is the end: 0.5 * (1 + 2 + 3 + 4), then 0.5 * 5 and 0 for the broken step, then anew.
    assert [timestep.reward.tolist() for timestep in timesteps] == [[5.0] * N, [2.5] * N, [5.0] * N]
    assert [timestep.terminated.tolist() for timestep in timesteps] == [[False] * N, [True] * N, [False] * N]
    assert not any(timestep.truncated.any() for timestep in timesteps)
    assert [timestep.final_obs[0].tolist() for timestep in timesteps] == [[4.0], [0.0], [4.0]]
    assert [timestep.info["count"][0].tolist() for timestep in timesteps] == [4.0, 0.0, 4.0]
    assert [timestep.episode_step.tolist() for timestep in timesteps] == [[1] * N, [0] * N, [1] * N]


def test_the_time_limit_counts_decisions():
    env = make_env("playground/Counter", action_repeat=REPEAT, end=100)
    assert env.spec.max_episode_steps == LIMIT
    timesteps = [timestep for *_, timestep in played(env, jnp.ones((4, 1, 1)), num_envs=1)[1:]]
    assert [timestep.truncated.tolist() for timestep in timesteps] == [[False], [False], [True], [False]]
    assert not any(timestep.terminated.any() for timestep in timesteps)
    assert timesteps[2].final_obs.tolist() == [[12.0]]
    assert timesteps[2].obs.tolist() == [[0.0]]
    assert make_env("playground/Counter").spec.max_episode_steps == 10
    assert make_env("playground/Counter", max_episode_steps=7, action_repeat=2).spec.max_episode_steps == 7


def test_spec_and_reset_mode(env):
    assert env.spec == EnvSpec("playground/PendulumSwingup", (3,), "float32", Box(1), LIMIT)
    assert env.reset_mode == "pool"
    assert env.task.inner.default_params.max_steps_in_episode == 250  # 1000 control steps
    assert env.task.inner.env.mjx_model.impl.value == "jax"
    assert make_env(**env.config).spec == env.spec


def test_names_and_sizes():
    assert len(names_of("playground")) == 25
    assert set(names_of("playground")) == set(dm_control_suite.ALL_ENVS) - {"Counter"}
    assert {f"playground/{name}" for name in SIZES} <= set(rlx.environments())
    for name, (obs_size, action_size) in SIZES.items():
        spec = make_env(f"playground/{name}").spec
        assert (spec.obs_shape, spec.action_space) == ((obs_size,), Box(action_size))
        assert spec.max_episode_steps == 1000


def test_options_reach_the_physics():
    task = playground_family.make("CartpoleBalance", ctrl_dt=0.04, sim_dt=0.02).task
    assert task.env.n_substeps == 2
    assert task.env.mj_model.opt.timestep == 0.02
    assert task.options == {"action_repeat": 1, "ctrl_dt": 0.04, "sim_dt": 0.02}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CartpoleSwingUp", {}, "did you mean 'CartpoleSwingup'"),
        ("PandaPickCube", {}, "unknown environment 'playground/PandaPickCube'.*; playground has: AcrobotSwingup"),
        ("CartpoleSwingup", {"action_repeats": 4}, "no option 'action_repeats' .did you mean 'action_repeat'"),
        ("CartpoleSwingup", {"impl": "warp"}, "no option 'impl'.*; options: action_repeat, ctrl_dt, sim_dt$"),
        ("CartpoleSwingup", {"vision": True}, "no option 'vision'"),
        ("CartpoleSwingup", {"action_repeat": 0}, "action_repeat must be a whole number of at least 1, not 0"),
        ("CartpoleSwingup", {"action_repeat": 1.5}, "action_repeat must be a whole number of at least 1, not 1.5"),
        ("CartpoleSwingup", {"ctrl_dt": "fast"}, "cannot be made with ctrl_dt='fast'"),
        ("CartpoleSwingup", {"sim_dt": 0.0}, "cannot be made with sim_dt=0.0"),
        ("CartpoleSwingup", {"sim_dt": 0.003}, "ctrl_dt=0.01 must be a whole number of times sim_dt=0.003"),
        ("CartpoleSwingup", {"ctrl_dt": 0.0}, "ctrl_dt=0.0 must be a whole number of times sim_dt=0.01"),
    ],
)
def test_mistakes_are_refused_in_one_line(name, options, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_env(f"playground/{name}", **options)
    assert "\n" not in str(error.value)


def test_without_playground(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_playground", None)
    assert names_of("playground") == ()
    with pytest.raises(ConfigurationError, match=r"^playground/PointMass needs .*: pip install 'rlx\[playground\]'$"):
        make_env("playground/PointMass")


def test_listing_environments_does_not_import_it():
    code = "import sys, rlx; print('playground/PointMass' in rlx.environments(), 'mujoco_playground' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True False\n"


def test_building_is_silent_and_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    playground_family.make("CheetahRun")  # MuJoCo has a warning about its model
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert not mujoco_playground._src.mjx_env.EXTERNAL_DEPS_PATH.exists()  # where Playground puts what it downloads


def test_a_state_can_be_saved(history, tmp_path):
    """Arrays without elements, of which MJX has many, need care."""
    state = history[-1][2]
    assert any(leaf.size == 0 for leaf in jax.tree.leaves(state))
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(5, state)
    _, restored = checkpoints.restore(state)
    checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, restored, jax.device_get(state))
