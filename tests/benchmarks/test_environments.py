"""What `benchmark.py environments` measures: valid random actions, and a speed for any number of devices."""

import jax
import numpy as np
import pytest
from benchmarks import environments
from benchmarks.report import Settings


def test_drawn_actions_are_valid_and_vary():
    nvec = (5, 6, 4, 4, 4, 4, 7, 5)
    source, target = [True, False, False, True, False], [False, False, True, False, False]
    mask = np.array([[*source, *[True] * 29, *target], [*[False] * 5, *[True] * 29, *[False] * 5]])
    keys = jax.random.split(jax.random.key(0), 300)
    actions = np.asarray(jax.vmap(lambda key: environments.draw(key, mask, nvec))(keys))
    assert actions.shape == (300, 2, 8)
    assert set(actions[:, 0, 0]) == {0, 3}
    assert set(actions[:, 0, 7]) == {2}
    for component, size in enumerate(nvec):
        assert set(actions[:, 1, component]) == set(range(size))


def test_a_speed_comes_out():
    assert environments.playing("4x4", num_envs=4, members=2, quick=True)() > 0


def test_a_row_compares_one_member_with_the_others(monkeypatch):
    monkeypatch.setattr(environments, "playing", lambda name, envs, members, quick: lambda: 158_000.0 * members)
    row = environments.row("4x4", 64, Settings())
    assert row == {
        "map": "4x4",
        "envs": 64,
        "steps/s, 1 member": 158_000.0,
        "steps/s, 4 members": 632_000.0,
        "1 member, x gym": pytest.approx(158 / 7.9),
        "1 member, x plain JAX": pytest.approx(158 / 885),
    }
    assert "1 member, x plain JAX" not in environments.row("4x4", 1024, Settings())
