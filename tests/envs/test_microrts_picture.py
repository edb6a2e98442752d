"""Pictures of microRTS: everything that stands or runs is drawn in its cell, in its owner's colour."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from rlx.envs import microrts_rules as rules
from rlx.envs import render
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError

BLUE, RED, GREEN, INK = (60, 110, 190), (200, 60, 50), (60, 150, 80), (40, 40, 40)


@pytest.fixture(scope="module")
def env():
    return make_env("rlx/microrts-4x4")


@pytest.fixture(scope="module")
def start(env):
    return env.task.reset_env(jax.random.key(0), env.params)[1]


def shares(path, size, side=4, top=0):
    """For each colour, the share of each cell's pixels that have it, ``[side * side]``."""
    image = Image.open(path).convert("RGB")
    pixels = np.asarray(image, np.int32)[top:]
    assert pixels.shape == (size, size, 3)
    cell = size // side
    cells = pixels.reshape(side, cell, side, cell, 3).swapaxes(1, 2).reshape(side * side, cell * cell, 3)
    return {colour: (np.abs(cells - colour).max(axis=-1) < 12).mean(axis=-1) for colour in (BLUE, RED, GREEN, INK)}


def test_start_has_everything_in_its_cell(env, start, tmp_path):
    render.render_png(env, start, tmp_path / "start.png", pixels=400)
    seen = shares(tmp_path / "start.png", 400)
    assert np.flatnonzero(seen[GREEN] > 0.3).tolist() == [0, 15]
    assert np.flatnonzero(seen[BLUE] > 0.1).tolist() == [5, 6]
    assert np.flatnonzero(seen[RED] > 0.1).tolist() == [9, 10]
    assert seen[BLUE][6] > 2 * seen[BLUE][5]  # a base is larger than a worker
    assert not seen[INK].any()


def test_worker_that_carries_and_what_is_under_way(env, start, tmp_path):
    """The worker carries a resource, and the base produces upwards."""
    state = dataclasses.replace(
        start,
        amount=start.amount.at[5].set(1),
        command=start.command.at[6].set(rules.PRODUCE),
        ticks=start.ticks.at[jnp.array([2, 6])].set(40),
        arriving=start.arriving.at[2].set(rules.WORKER),
    )
    render.render_png(env, state, tmp_path / "busy.png", pixels=400)
    seen = shares(tmp_path / "busy.png", 400)
    assert np.flatnonzero(seen[GREEN] > 0.02).tolist() == [0, 5, 15]
    assert np.flatnonzero(seen[INK] > 0.005).tolist() == [2, 6]
    assert 0.01 < seen[BLUE][2] < 0.1  # a ring, where the new worker will stand


def test_episode_as_a_gif(env, start, tmp_path):
    step, states, rewards = jax.jit(env.task.step_env), [start], []
    for action in ([5, 1, 0, 0, 0, 0, 0, 0], [1, 2, 0, 3, 0, 0, 0, 0]):
        _, state, reward, _, _ = step(None, states[-1], jnp.array(action), env.params)
        states.append(state)
        rewards.append(float(reward))
    render.render_gif(env, states, rewards, tmp_path / "game.gif")
    image = Image.open(tmp_path / "game.gif")
    assert image.n_frames == 3
    workers = []
    for frame in range(3):
        image.seek(frame)
        image.convert("RGB").save(tmp_path / "frame.png")
        workers.append(np.flatnonzero(shares(tmp_path / "frame.png", 300, top=24)[BLUE] > 0.1).tolist())
    assert workers == [[5, 6], [1, 6], [1, 6]]


def test_other_tasks_are_refused(tmp_path):
    env = make_env("rlx/probe-action")
    with pytest.raises(ConfigurationError, match="rlx/probe-action is not microRTS"):
        render.render_png(env, None, tmp_path / "no.png")
