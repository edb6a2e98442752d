"""The small finite tasks as environments: what executed actions do, slips, and what is observed at the end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.envs.api import make_env
from rlx.envs.chain import ChainState
from rlx.errors import ConfigurationError
from rlx.types import Discrete


@functools.cache
def steps_from(name, **options):
    """A jitted function of keys, a position and an action that takes one step with each key."""
    env = make_env(name, **options)

    @jax.jit
    def steps(keys, position, action):
        state = ChainState(time=jnp.int32(0), position=jnp.int32(position))
        return jax.vmap(lambda key: env.task.step_env(key, state, action, env.params))(keys)

    return steps


def one_step(name, position, action, **options):
    obs, state, reward, terminated, _ = steps_from(name, **options)(
        jax.random.split(jax.random.key(0), 1), position, action
    )
    return obs[0], int(state.position[0]), float(reward[0]), bool(terminated[0])


@pytest.mark.parametrize(
    ("name", "position", "action", "expected"),
    [
        ("rlx/chain", 0, 0, (50, 1.0, True)),
        ("rlx/chain", 0, 1, (1, 0.0, False)),
        ("rlx/chain", 49, 0, (48, 0.0, False)),
        ("rlx/chain", 49, 1, (50, -1.0, True)),
        ("rlx/mirrored-chain", 0, 0, (50, -1.0, True)),
        ("rlx/mirrored-chain", 49, 1, (50, 1.0, True)),
        ("rlx/mirrored-chain", 20, 1, (21, 0.0, False)),
        ("rlx/gap-chain", 0, 0, (50, 0.0, True)),
        ("rlx/gap-chain", 10, 1, (11, -0.1, False)),
        ("rlx/gap-chain", 49, 1, (50, -(10**-4.9), True)),
        ("rlx/corridor", 0, 0, (0, 0.2, False)),
        ("rlx/corridor", 0, 1, (1, 0.0, False)),
        ("rlx/corridor", 7, 0, (6, 0.0, False)),
        ("rlx/corridor", 19, 1, (20, 100.0, True)),
    ],
)
def test_executed_actions(name, position, action, expected):
    obs, reached, reward, terminated = one_step(name, position, action, slip=0.0)
    assert (reached, terminated) == (expected[0], expected[2])
    np.testing.assert_allclose(reward, expected[1], rtol=1e-6)
    assert bool(obs.any()) == (not terminated)


def test_observations_are_tile_codes_and_zero_at_the_end():
    obs, *_ = one_step("rlx/chain", 5, 0, slip=0.0)
    np.testing.assert_array_equal(np.flatnonzero(obs), [4])
    obs, *_ = one_step("rlx/chain", 5, 1, slip=0.0, num_states=8, width=2)
    # State 6: tile 3 of the first tiling; of the second, which has 5 tiles before it, tile 3 as well.
    np.testing.assert_array_equal(np.flatnonzero(obs), [3, 8])
    np.testing.assert_allclose(obs[obs > 0], np.sqrt(0.5), rtol=1e-6)
    obs, *_ = one_step("rlx/chain", 7, 1, slip=0.0, num_states=8, width=2)
    np.testing.assert_array_equal(obs, 0.0)


def test_every_fourth_action_slips_and_pays_what_is_executed():
    keys = jax.random.split(jax.random.key(1), 4_000)
    _, state, reward, terminated, _ = steps_from("rlx/chain")(keys, 0, 1)
    slipped = np.asarray(state.position) == 50
    assert 0.22 < slipped.mean() < 0.28  # standard error 0.007
    np.testing.assert_array_equal(slipped, terminated)
    np.testing.assert_array_equal(reward, slipped.astype(float))


@pytest.mark.parametrize(("name", "starts"), [("rlx/chain", set(range(6))), ("rlx/corridor", {0})])
def test_start_states(name, starts):
    env = make_env(name, num_states=6)
    _, state = jax.vmap(env.task.reset_env, (0, None))(jax.random.split(jax.random.key(0), 200), env.params)
    assert set(np.asarray(state.position).tolist()) == starts


def test_what_an_agent_is_told():
    env = make_env("rlx/gap-chain", exponent=0.3, max_episode_steps=60)
    assert env.spec.action_space == Discrete(2)
    assert env.spec.obs_shape == (51,)
    assert env.spec.max_episode_steps == 60
    assert env.params.slip == 0.0
    assert make_env("rlx/chain").params.slip == 0.25


def test_rewards_that_float32_cannot_hold_are_refused():
    with pytest.raises(ConfigurationError, match=r"exponent=1.0 .* 1e-49, .*; choose at most 0.76"):
        make_env("rlx/gap-chain", exponent=1.0)
    make_env("rlx/gap-chain", exponent=0.76)
    make_env("rlx/gap-chain", exponent=1.0, num_states=30)
