import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stub import Stub

import rlx
from rlx.errors import ConfigurationError
from rlx.replay.ring import Ring
from rlx.runner import population
from rlx.types import Clock, Discrete, EnvSpec

SPEC = EnvSpec("task", (1,), "float32", Discrete(2), None)
eight = pytest.mark.skipif(len(jax.devices()) < 8, reason="needs eight devices")


def test_members_are_stacked_leaf_by_leaf():
    agents = population.stack([Stub(SPEC, stride=1.0), Stub(SPEC, stride=2), Stub(SPEC, stride=0.5)])
    assert agents.stride.tolist() == [1.0, 2.0, 0.5]
    assert agents.stride.dtype == jnp.float32
    assert agents.num_envs == 2


def test_members_must_agree_in_what_fixes_shapes():
    with pytest.raises(ConfigurationError, match=r"must agree in num_envs: .* separate populations"):
        population.stack([Stub(SPEC), Stub(SPEC, num_envs=4, stride=2.0)])


@pytest.mark.parametrize(("members", "devices", "used"), [(8, 8, 8), (6, 4, 3), (7, 4, 1), (3, 8, 3), (12, 8, 6)])
def test_the_mesh_has_the_most_devices_that_share_the_members_evenly(members, devices, used):
    assert population.mesh_for(members, [object()] * devices).size == used


def test_every_seed_and_stream_has_a_key_of_its_own():
    streams = (population.INIT_STREAM, population.EVALUATION_STREAM)
    keys = [jax.random.key_data(population.keys_for((0, 1, 2**32 - 1), stream)) for stream in streams]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 6


def test_an_evaluation_has_a_key_for_each_seed_and_step():
    keys = [jax.random.key_data(population.evaluation_keys((0, 1), step)) for step in (0, 100, 200)]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 6
    np.testing.assert_array_equal(jax.random.key_data(population.evaluation_keys((1,), 100))[0], keys[1][1])


def trained(env, agent, seeds, devices):
    """Agents, tasks and window after ten iterations of training, on the host, and the number of devices used."""
    mesh = population.mesh_for(len(seeds), jax.devices()[:devices])
    agents = population.place(population.stack([agent] * len(seeds)), mesh)
    programs = population.programs(env, mesh, 4, "greedy")
    state = programs.init(agents, population.keys_for(seeds, population.INIT_STREAM), Clock.start(10_000))
    state, _, window = programs.chunk(agents, state, jnp.int32(10), jnp.bool_(True))
    used = len(state.timestep.obs.sharding.device_set)
    return jax.tree.map(np.asarray, (state.agent, state.env, window)), used


@eight
def test_eight_devices_give_the_numbers_of_one():
    env = rlx.make_env("rlx/probe-terminated")
    seeds = tuple(range(8))
    (together, one), (spread, all_eight) = (trained(env, Stub(env.spec), seeds, devices) for devices in (1, 8))
    assert (one, all_eight) == (1, 8)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(spread), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # vector instructions round otherwise
    # On a device of its own a member runs the very program that it runs alone.
    alone, _ = trained(env, Stub(env.spec), seeds[5:6], devices=1)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(spread), strict=True):
        np.testing.assert_array_equal(a[0], b[5])
    assert len(np.unique(spread[0].params, axis=0)) == 8


KIB = 1024


def test_memory_is_planned_with_the_replay_named():
    ring = Ring(jax.ShapeDtypeStruct((2, 3 * KIB), jnp.float32))  # 24 KiB
    shapes = {"replay": ring, "params": jax.ShapeDtypeStruct((2, KIB), jnp.uint8)}  # and 2 KiB
    mesh = population.mesh_for(2, jax.devices()[:1])
    assert population.memory_plan(shapes, mesh) == "state 26 KiB (replay 24 KiB) on 1 device(s)"


def test_a_state_that_cannot_fit_is_refused_with_a_remedy():
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shapes = Ring(jax.ShapeDtypeStruct((available // 4 + KIB,), jnp.float32))
    with pytest.raises(ConfigurationError, match=r"does not fit: .* lower num_seeds or agent.replay_size"):
        population.memory_plan(shapes, population.mesh_for(1, jax.devices("cpu")[:1]))
