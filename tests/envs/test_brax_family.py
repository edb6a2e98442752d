"""Brax: the adapter equals the bare environment, and rlx resets from a pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax import envs as brax_envs

from rlx.envs import render, vector
from rlx.envs.api import make_env
from rlx.envs.brax import BraxTask
from rlx.errors import ConfigurationError
from rlx.types import Box, EnvSpec

N, P, LIMIT = 2, 3, 3


@pytest.fixture(scope="module")
def env():
    return make_env("brax/inverted_pendulum", max_episode_steps=LIMIT, pool_size=P)


@pytest.fixture(scope="module")
def history(env):
    """Five steps: the state before, the action, the state after and the timestep of each."""
    state, first = jax.jit(vector.reset, static_argnums=(0, 2))(env, jax.random.key(0), N)
    step = jax.jit(vector.step, static_argnums=0)
    rows = [(None, None, state, first)]
    for i in range(5):
        action = jax.random.uniform(jax.random.key(100 + i), (N, 1), minval=-1.0, maxval=1.0)
        after, timestep = step(env, state, action, jax.random.key(200 + i))
        rows.append((state, action, after, timestep))
        state = after
    return rows


@pytest.mark.filterwarnings("ignore:Brax System")
def test_adapter_equals_bare_brax(env, history):
    bare = brax_envs.get_environment("inverted_pendulum", backend="spring")
    step = jax.jit(jax.vmap(bare.step))
    for before, action, _, timestep in history[1:]:
        by_hand = step(before.task_state, action)
        np.testing.assert_allclose(timestep.final_obs, by_hand.obs, atol=1e-5)
        np.testing.assert_allclose(timestep.reward, [1.0, 1.0])
        np.testing.assert_array_equal(timestep.terminated, by_hand.done.astype(bool))
    start = bare.reset(jax.random.split(jax.random.key(0), N + P)[0])
    np.testing.assert_allclose(history[0][3].obs[0], start.obs, atol=1e-6)


def test_episodes_are_truncated_and_start_from_the_pool(history):
    truncated = [timestep.truncated.tolist() for *_, timestep in history]
    assert truncated == [[False] * N] * 3 + [[True] * N] + [[False] * N] * 2
    _, _, after, timestep = history[3]
    np.testing.assert_array_equal(timestep.episode_step, [0, 0])
    pool = np.asarray(after.pool[0])
    assert pool.shape == (P, 4)
    for obs in np.asarray(timestep.obs):
        assert any((obs == entry).all() for entry in pool)
    assert not np.allclose(timestep.obs, timestep.final_obs)
    np.testing.assert_array_equal(after.task_state.obs, timestep.obs)
    np.testing.assert_array_equal(after.task_state.done, [0.0, 0.0])


def test_spec_and_reset_mode(env):
    assert env.spec == EnvSpec("brax/inverted_pendulum", (4,), "float32", Box(1), LIMIT, counters=("power",))
    assert env.reset_mode == "pool"
    assert isinstance(env.task.inner, BraxTask)
    assert env.task.inner.default_params.max_steps_in_episode == 1000


def test_backend_and_constructor_options():
    longer = make_env("brax/hopper", exclude_current_positions_from_observation=False)
    assert longer.spec.obs_shape == (12,)  # the usual 11 numbers and the position
    assert make_env("brax/inverted_pendulum", backend="mjx").task.inner.env.backend == "mjx"


def test_building_is_silent_and_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    make_env("brax/halfcheetah")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_viewer_page_holds_the_episode(env, history, tmp_path):
    states = [jax.tree.map(lambda x: x[0], after.task_state) for _, _, after, _ in history]
    render.render_html(env, states, tmp_path / "list.html")
    render.render_html(env, jax.tree.map(lambda *x: jnp.stack(x), *states), tmp_path / "stacked.html")
    page = (tmp_path / "list.html").read_text()
    assert "<html>" in page
    assert page == (tmp_path / "stacked.html").read_text()
    render.render_html(env, states[:2], tmp_path / "short.html")
    assert len((tmp_path / "short.html").read_text()) < len(page)


def test_viewer_is_for_brax_only(tmp_path):
    with pytest.raises(ConfigurationError, match="use render_gif"):
        render.render_html(make_env("rlx/probe-action"), [], tmp_path / "page.html")
