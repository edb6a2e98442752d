"""GIFs: every task gives one, with a frame a state and drawings where the state says they should be."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from rlx.envs import render, vector
from rlx.envs.api import make_env
from rlx.envs.probes import Constant


def episode(env, length=3):
    state, timestep = vector.start(env, jax.random.key(0), 1)
    action = jnp.zeros((1, *env.spec.action_shape), env.spec.action_dtype)
    states, rewards = [state], []
    step = jax.jit(lambda state, count, key: vector.advance(env, state, count, action, key))
    for i in range(length):
        state, timestep = step(state, timestep.episode_step, jax.random.key(i))
        states.append(state)
        rewards.append(float(timestep.reward[0]))
    return [jax.tree.map(lambda x: x[0], state) for state in states], rewards


def frames(path):
    image = Image.open(path)
    return [np.asarray((image.seek(i), image.convert("RGB"))[1], np.int32) for i in range(image.n_frames)]


@pytest.mark.parametrize(
    "name",
    [
        "gymnax/CartPole-v1",
        "gymnax/Pendulum-v1",
        "gymnax/Acrobot-v1",
        "gymnax/MountainCar-v0",
        "gymnax/MountainCarContinuous-v0",
        "gymnax/Catch-bsuite",
        "gymnax/Breakout-MinAtar",
        "gymnax/FourRooms-misc",
        "gymnax/MemoryChain-bsuite",
        "rlx/probe-nan",
    ],
)
def test_every_kind_of_task_gives_a_gif(name, tmp_path):
    env = make_env(name)
    states, rewards = episode(env)
    render.render_gif(env, states, rewards, tmp_path / "list.gif")
    render.render_gif(env, jax.tree.map(lambda *x: jnp.stack(x), *states), rewards, tmp_path / "stacked.gif")
    pictures = frames(tmp_path / "list.gif")
    assert len(pictures) == 4
    assert (tmp_path / "list.gif").read_bytes() == (tmp_path / "stacked.gif").read_bytes()
    titles = [picture[:24] for picture in pictures]
    assert all((one != other).any() for one, other in itertools.pairwise(titles))


def test_pole_points_where_it_leans(tmp_path):
    env = make_env("gymnax/CartPole-v1")
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    for angle, side in ((1.2, slice(160, 300)), (-1.2, slice(0, 140))):
        leaning = state.replace(x=0.0, theta=angle)
        render.render_gif(env, [leaning], [], tmp_path / "pole.gif")
        picture = frames(tmp_path / "pole.gif")[0][24:]
        red = (picture[..., 0] > 150) & (picture[..., 1] < 120)
        assert red[:, side].sum() > 0.7 * red.sum() > 0


def test_what_is_wrapped_around_a_task_does_not_change_its_drawing(tmp_path):
    env = make_env("gymnax/CartPole-v1", sticky_actions=0.3, obs_noise=0.1, reward_noise=0.1)
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    leaning = state.replace(task=state.task.replace(x=0.0, theta=1.2))
    render.render_gif(env, [leaning], [], tmp_path / "wrapped.gif")
    bare = make_env("gymnax/CartPole-v1")
    render.render_gif(bare, [leaning.task], [], tmp_path / "bare.gif")
    assert (tmp_path / "wrapped.gif").read_bytes() == (tmp_path / "bare.gif").read_bytes()


def test_image_shows_the_pixel_that_is_on(tmp_path):
    env = make_env("gymnax/DeepSea-bsuite", size=10)
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    render.render_gif(env, [state.replace(row=2, column=7)], [], tmp_path / "sea.gif")
    picture = frames(tmp_path / "sea.gif")[0][24:, :, 0]
    assert picture.shape == (300, 300)
    cells = picture.reshape(10, 30, 10, 30).mean(axis=(1, 3))
    np.testing.assert_array_equal(np.argwhere(cells > 128), [[2, 7]])


def test_task_that_cannot_observe_shows_its_state(tmp_path):
    class Blind(Constant):
        def observe(self, key, state, action, params):
            raise NotImplementedError

    env = make_env(Blind())
    states, rewards = episode(env, 2)
    render.render_gif(env, states, rewards, tmp_path / "blind.gif")
    assert len(frames(tmp_path / "blind.gif")) == 3


def test_a_brax_body_is_drawn_from_the_side():
    """It lies in the middle, with floor below and nothing but sky above."""
    env = make_env("brax/halfcheetah")
    state, _ = jax.jit(vector.start, static_argnums=(0, 2))(env, jax.random.key(0), 1)
    picture = np.asarray(render.painter(env)(state))
    assert picture.shape == (300, 300, 3)
    sky, floor = picture[5, 5], picture[-5, 5]
    assert (picture[:100] == sky).all()
    assert not (floor == sky).all()
    body = (picture != sky).any(-1)[100:250, 100:200]
    assert body.any()


@pytest.mark.parametrize("name", ["gymnax/CartPole-v1", "gymnax/Breakout-MinAtar", "rlx/chain"])
def test_a_painter_draws_states_as_they_come(name):
    env = make_env(name)
    paint = render.painter(env)
    state, _ = vector.start(env, jax.random.key(0), 1)
    first = np.asarray(paint(state))
    action = jnp.zeros((1, *env.spec.action_shape), env.spec.action_dtype)
    for step in range(6):
        state, _ = vector.advance(env, state, jnp.array([step]), action, jax.random.key(1))
    assert first.shape == (300, 300, 3)
    assert (np.asarray(paint(state)) != first).any()
