"""The probes have the values their docstrings state: optimal values by exhaustive search over all actions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.types import Box, Discrete, MultiDiscrete

DISCOUNT = 0.9


def candidates(space):
    match space:
        case Discrete(n):
            return [jnp.int32(a) for a in range(n)]
        case MultiDiscrete(nvec):
            return [jnp.array(a, jnp.int32) for a in itertools.product(*(range(n) for n in nvec))]
        case Box():
            return [jnp.array([a], jnp.float32) for a in np.linspace(-1, 1, 9)]


class Search:
    """Optimal values by trying every action in every state until termination."""

    def __init__(self, name, **options):
        self.env = make_env(name, **options)
        self.actions = candidates(self.env.spec.action_space)
        task, params = self.env.task, self.env.params
        self.reset = jax.jit(lambda key: task.reset_env(key, params))
        self.step = jax.jit(lambda state, action: task.step_env(jax.random.key(0), state, action, params))

    def starts(self):
        """One start state for each distinct first observation."""
        found = {}
        for seed in range(60):
            obs, state = self.reset(jax.random.key(seed))
            found[tuple(np.asarray(obs).tolist())] = state
        return found

    def action_values(self, state):
        values = []
        for index, action in enumerate(self.actions):
            if self.env.spec.has_action_mask and not self.env.task.action_mask(state, self.env.params)[index]:
                continue
            _, following, reward, terminated, _ = self.step(state, action)
            values.append(float(reward) + (0.0 if terminated else DISCOUNT * max(self.action_values(following))))
        return values

    def values(self):
        return {obs: max(self.action_values(state)) for obs, state in self.starts().items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe-constant", {(0.0,): 1.0}),
        ("probe-observation", {(-1.0,): -1.0, (1.0,): 1.0}),
        ("probe-delayed", {(0.0,): 0.9}),
        ("probe-action", {(0.0,): 1.0}),
        ("probe-action-observation", {(-1.0,): 1.0, (1.0,): 1.0}),
        ("probe-masked", {(0.0,): 1.9}),
        ("probe-terminated", {(1.0,): 1.0, (2.0,): 1.9, (3.0,): 2.71}),
        ("probe-continuous", {(0.0,): 0.0}),
        ("probe-continuous-observation", {(-0.5,): 0.0, (0.5,): 0.0}),
    ],
)
def test_optimal_values(name, expected):
    values = Search(f"rlx/{name}").values()
    assert values.keys() == expected.keys()
    for obs, value in expected.items():
        assert values[obs] == pytest.approx(value, abs=1e-6)


def test_action_values():
    search = Search("rlx/probe-action")
    assert search.action_values(search.starts()[(0.0,)]) == [-1.0, 1.0]


def test_factored_value_counts_right_components():
    search = Search("rlx/probe-factored")
    starts = search.starts()
    assert len(starts) == 6
    for obs, state in starts.items():
        wanted = (obs[:2].index(1.0), obs[2:].index(1.0))
        assert search.action_values(state) == [(a == wanted[0]) + (b == wanted[1]) for a in range(2) for b in range(3)]


def test_forbidden_actions_would_pay():
    search = Search("rlx/probe-masked")
    state = search.starts()[(0.0,)]
    obs, following, reward, *_ = search.step(state, jnp.int32(2))
    assert reward == 10.0
    assert obs[0] == 1.0
    assert search.step(following, jnp.int32(0))[2] == 10.0
    assert [float(search.step(following, jnp.int32(a))[2]) for a in (1, 2)] == [1.0, 0.0]


def test_best_continuous_actions():
    search = Search("rlx/probe-continuous-observation")
    for obs, state in search.starts().items():
        best = search.actions[int(np.argmax(search.action_values(state)))]
        assert float(best[0]) == obs[0]
    search = Search("rlx/probe-continuous")
    assert float(search.actions[int(np.argmax(search.action_values(search.starts()[(0.0,)])))][0]) == 0.5


def play(name, steps, **options):
    env = make_env(f"rlx/{name}", **options)
    step = jax.jit(
        lambda state, key: vector.step(env, state, jnp.zeros((1, *env.spec.action_shape), env.spec.action_dtype), key)
    )
    state, _ = vector.reset(env, jax.random.key(0), 1)
    rows = []
    for i in range(steps):
        state, timestep = step(state, jax.random.key(i + 1))
        rows.append((timestep.reward[0], timestep.terminated[0], timestep.truncated[0], timestep.final_obs[0, 0]))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_truncated_pays_for_ever_under_a_time_limit():
    reward, terminated, truncated, obs = play("probe-truncated", 150)
    np.testing.assert_array_equal(np.flatnonzero(truncated)[:3], [4, 9, 14])
    assert not terminated.any()
    assert not obs.any()
    assert np.sum(reward * DISCOUNT ** np.arange(150)) == pytest.approx(10.0, abs=1e-4)


def test_nan_breaks_after_three_steps():
    reward, terminated, _, obs = play("probe-nan", 5)
    np.testing.assert_array_equal(np.isnan(reward), [False, False, False, True, True])
    np.testing.assert_array_equal(np.isnan(obs), [False, False, False, True, True])
    assert not terminated.any()


@pytest.mark.parametrize("name", ["constant", "observation", "delayed", "terminated", "truncated", "nan"])
def test_idle_probes_have_continuous_twins(name):
    assert make_env(f"rlx/probe-{name}", continuous=True).spec.action_space == Box(1)
    assert make_env(f"rlx/probe-{name}").spec.action_space == Discrete(2)


def test_delayed_passes_through_its_second_observation():
    search = Search("rlx/probe-delayed")
    obs, state, *_ = search.step(search.starts()[(0.0,)], jnp.int32(0))
    assert obs[0] == 1.0
    assert max(search.action_values(state)) == 1.0
