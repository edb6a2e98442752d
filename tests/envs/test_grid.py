import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.envs import trainers
from rlx.envs.grid import EAST, NORTH, SOUTH, WEST, CliffGrid, FourRooms


def walked(task, actions):
    """Rewards and cells along ``actions``, and whether the episode has ended."""
    cell, rewards, cells = task.number(task.start), [], []
    for action in actions:
        rewards.append(float(task.process.reward[cell, action]))
        cell = int(task.process.next_state[cell, action])
        cells.append((cell % task.width, cell // task.width))
    return rewards, cells, bool(task.process.ends[cell])


def test_the_cliff_grid_s_best_way():
    """Oracle 10, first half."""
    rewards, cells, ended = walked(CliffGrid(), [NORTH, *[EAST] * 7, SOUTH])
    assert (sum(rewards), cells[-1], ended) == (5.0, (7, 0), True)


def test_walls_keep_the_agent_in_place_and_a_bump_costs_again():
    rewards, cells, ended = walked(CliffGrid(), [WEST, EAST, EAST, EAST, SOUTH, NORTH])
    assert cells[0] == (0, 0)
    assert cells[4] == (3, 0)
    assert (rewards, ended) == ([0.0, -1.0, -1.0, -1.0, -1.0, 0.0], False)


def test_the_cliff_grid_s_values_under_a_uniform_policy():
    """Oracle 10, second half."""
    process, policy = CliffGrid().process, jnp.full((40, 4), 0.25)
    value = trainers.swept(process, policy, jnp.zeros(40), 5_000)
    np.testing.assert_allclose(value[0], -10.69473, atol=2e-4)
    expected = [1.23876, 0.10695, -1.45265, 0.10695]
    np.testing.assert_allclose(trainers.advantages(process, policy, value)[0], expected, atol=1e-4)


def test_the_cliff_grid_s_best_value():
    loss = trainers.optimal_advantages(CliffGrid().process)
    assert loss[0, NORTH] == 0.0
    np.testing.assert_allclose(loss[0, SOUTH], (0.99 - 1) * 5 * 0.99**8, rtol=1e-9)


def test_the_four_rooms():
    """Oracle 13."""
    task = FourRooms()
    assert len(task.walls) == 121 - 104
    assert task.distance[task.number((0, 0))] == 20
    _, cells, ended = walked(task, [NORTH] * 6)
    assert cells[-1] == (0, 4)  # the wall at y = 5
    route = [EAST, NORTH, NORTH, NORTH, NORTH, NORTH, NORTH, NORTH, NORTH, *[EAST] * 9, NORTH, NORTH]
    rewards, cells, ended = walked(task, route)
    assert (sum(rewards), cells[-1], ended) == (1.0, (10, 10), True)


@pytest.mark.parametrize(
    ("start", "action", "author", "mended"),
    [
        ((0, 0), NORTH, 1, 1),
        ((0, 1), SOUTH, 1, 0),
        ((0, 0), EAST, -1, -1),
        ((2, 2), EAST, 1, 1),
        ((2, 2), WEST, 0, 0),
        ((7, 1), SOUTH, 5, 5),
        ((7, 2), EAST, 0, 0),
    ],
)
def test_the_author_s_table_of_advice_and_ours_without_its_circle(start, action, author, mended):
    task = CliffGrid()
    before = task.state_of(jnp.int32(task.number(start)))
    _, after, reward, _, _ = task.step_env(jax.random.key(0), before, jnp.int32(action), task.default_params)
    assert task.author_advice(before, jnp.int32(action), after, reward) == author
    assert task.advice(before, jnp.int32(action), after, reward) == mended


def test_they_are_tasks_like_others():
    env = rlx.make_env("rlx/four-rooms", max_episode_steps=10)
    assert (env.spec.obs_shape, env.spec.nvec, env.spec.max_episode_steps) == ((121,), (4,), 10)
