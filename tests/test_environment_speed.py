"""What `benchmark.py environments=true` measures: valid random actions, and a speed for any number of devices."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def speed():
    sys.path.insert(0, str(EXPERIMENTS))
    import environment_speed

    yield environment_speed
    sys.path.remove(str(EXPERIMENTS))


def test_drawn_actions_are_valid_and_vary(speed):
    nvec = (5, 6, 4, 4, 4, 4, 7, 5)
    source, target = [True, False, False, True, False], [False, False, True, False, False]
    mask = np.array([[*source, *[True] * 29, *target], [*[False] * 5, *[True] * 29, *[False] * 5]])
    actions = np.asarray(jax.vmap(lambda key: speed.draw(key, mask, nvec))(jax.random.split(jax.random.key(0), 300)))
    assert actions.shape == (300, 2, 8)
    assert set(actions[:, 0, 0]) == {0, 3}
    assert set(actions[:, 0, 7]) == {2}
    for component, size in enumerate(nvec):
        assert set(actions[:, 1, component]) == set(range(size))


def test_a_speed_comes_out(speed):
    assert speed.steps_per_second("4x4", num_envs=4, devices=2, repetitions=1, quick=True) > 0
