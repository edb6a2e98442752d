import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stub import Stub

import rlx
from rlx import run_config
from rlx.agents.logq import LogDQN
from rlx.errors import ConfigurationError
from rlx.runner import population
from rlx.runner.layout import layout_for, side_by_side_for
from rlx.runner.pieces import Joined
from rlx.runner.programs import MEMBERS, program_of
from rlx.types import Clock, Discrete, EnvSpec, Needs

SPEC = EnvSpec("task", (1,), "float32", Discrete(2), None)
eight = pytest.mark.skipif(len(jax.devices()) < 8, reason="needs eight devices")


def test_members_are_stacked_leaf_by_leaf():
    agents = population.stack([Stub(SPEC, stride=1.0), Stub(SPEC, stride=2), Stub(SPEC, stride=0.5)])
    assert agents.stride.tolist() == [1.0, 2.0, 0.5]
    assert agents.stride.dtype == jnp.float32
    assert agents.num_envs == 2


@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs two devices")
def test_a_program_takes_its_own_results_where_arrays_have_no_elements():
    """A restored state is placed, and what a chunk makes of it goes to the next; MJX has many such arrays."""
    mesh = layout_for(2).mesh
    assert mesh.size == 2
    state = population.place({"none": np.zeros((2, 0)), "some": np.zeros((2, 3))}, mesh)
    program = program_of(mesh, lambda tree: jax.tree.map(lambda x: x + 1, tree), (MEMBERS,), MEMBERS)
    compiled = program.lower(state).compile()
    np.testing.assert_array_equal(compiled(compiled(state))["some"], 2)
    assert len(state["some"].addressable_shards[0].data) == 1


def test_members_must_agree_in_what_fixes_shapes():
    with pytest.raises(ConfigurationError, match=r"must agree in num_envs: .* separate populations"):
        population.stack([Stub(SPEC), Stub(SPEC, num_envs=4, stride=2.0)])


def test_members_must_agree_in_whether_a_number_is_given():
    """One that is null means another program, not another number."""
    with pytest.raises(ConfigurationError, match=r"must agree in beta_reg_final: .* separate populations"):
        population.stack([LogDQN(SPEC), LogDQN(SPEC, beta_reg_final=0.1)])
    assert population.stack([LogDQN(SPEC), LogDQN(SPEC, beta_reg=0.2)]).beta_reg_final is None


def test_numbers_that_may_be_null_are_read_back_member_by_member():
    env = rlx.make_env("rlx/probe-action")
    agents = [rlx.make_agent("logq", env, beta_reg_final=final) for final in (0.1, 0.2)]
    config = run_config.agent_config(agents)
    assert config["beta_reg_final"] == [0.1, 0.2]
    assert run_config._agents_of(config, env) == agents
    (alone,) = run_config._agents_of(run_config.agent_config([rlx.make_agent("logq", env)]), env)
    assert alone.beta_reg_final is None


@pytest.mark.parametrize(
    ("members", "devices", "side_by_side", "groups", "size"),
    [
        (1, 8, None, 1, 1),  # one device is enough
        (3, 2, 1, 2, 2),  # and one slot is filled up
        (3, 2, 8, 1, 4),
        (8, 8, None, 1, 8),
        (12, 8, 1, 2, 8),
        (12, 8, None, 1, 16),
        (10, 2, 4, 2, 6),  # of 5 a device, 3 and 3, not 4 and 4
        (7, 1, 7, 1, 7),
    ],
)
def test_members_lie_on_all_devices_whatever_their_number(members, devices, side_by_side, groups, size):
    layout = layout_for(members, jax.devices()[:devices], side_by_side)
    assert (layout.num_groups, layout.group_size) == (groups, size)
    assert layout.slots.shape == (groups, size)
    assert layout.slots.ravel()[:members].tolist() == list(range(members))
    assert set(layout.slots.ravel()[members:]) <= {members - 1}
    assert layout.mesh.size == min(members, devices)


@pytest.mark.parametrize(
    ("platform", "num_envs", "rollout_length", "side_by_side"),
    [("cpu", 64, 64, 1), ("cpu", 1, 1, 4), ("cpu", 4, 8, 1), ("gpu", 64, 64, None), ("tpu", 1, 1, None)],
)
def test_members_take_turns_on_cpu_unless_their_rollouts_are_small(platform, num_envs, rollout_length, side_by_side):
    assert side_by_side_for(Needs(num_envs, rollout_length), platform) == side_by_side


def test_every_agent_meets_every_seed():
    one, two = Stub(SPEC, stride=1.0), Stub(SPEC, stride=2.0)
    assert population.members_of([one, two], (5, 9)) == [(one, 5), (one, 9), (two, 5), (two, 9)]


def test_every_seed_and_stream_has_a_key_of_its_own():
    streams = (population.INIT_STREAM, population.EVALUATION_STREAM)
    keys = [jax.random.key_data(population.keys_for((0, 1, 2**32 - 1), stream)) for stream in streams]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 6


def test_an_evaluation_has_a_key_for_each_seed_and_step():
    keys = [jax.random.key_data(population.evaluation_keys((0, 1), step)) for step in (0, 100, 200)]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 6
    np.testing.assert_array_equal(jax.random.key_data(population.evaluation_keys((1,), 100))[0], keys[1][1])


def joined(members, states):
    """The whole run on the host; keys are there already."""
    on_host = lambda leaf: np.asarray(leaf) if isinstance(leaf, Joined) else leaf  # noqa: E731
    return jax.tree.map(on_host, members.join_states(states))


def trained(env, agents, seeds, devices, side_by_side=None):
    """Agents, scene and window after ten iterations of training, on the host, and the number of devices used."""
    layout = layout_for(len(seeds), jax.devices()[:devices], side_by_side)
    members = [population.Member(agent, seed) for agent, seed in zip(agents, seeds, strict=True)]
    members = population.Population(members, env, layout=layout)
    states, _, window = members.advance(members.start(Clock.start(10_000, 6)), 10, new_window=True)
    used = len(states[0].scene.timestep.obs.sharding.device_set)
    state = joined(members, states)
    return (state.agent, state.scene, members.gather(window)), used


@eight
def test_eight_devices_give_the_numbers_of_one():
    env = rlx.make_env("rlx/probe-terminated")
    seeds, agents = tuple(range(8)), [Stub(env.spec)] * 8
    together, one = trained(env, agents, seeds, devices=1, side_by_side=8)
    spread, all_eight = trained(env, agents, seeds, devices=8)
    assert (one, all_eight) == (1, 8)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(spread), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # vector instructions round otherwise
    # On a device of its own a member runs the very program that it runs alone.
    alone, _ = trained(env, agents[5:6], seeds[5:6], devices=1)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(spread), strict=True):
        np.testing.assert_array_equal(a[0], b[5])
    assert len(np.unique(spread[0].params, axis=0)) == 8


@pytest.mark.parametrize(("devices", "side_by_side"), [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_groups_and_filled_slots_change_nothing_of_a_member(devices, side_by_side):
    """Five members with a seed and a stride each: their values are theirs alone, and there are five of them."""
    env = rlx.make_env("rlx/probe-terminated")
    agents = [Stub(env.spec, stride=stride) for stride in (1.0, 2.0, 3.0, 4.0, 5.0)]
    found, used = trained(env, agents, (7, 3, 3, 8, 1), devices, side_by_side)
    assert used == devices
    for member, (agent, seed) in enumerate(zip(agents, (7, 3, 3, 8, 1), strict=True)):
        alone, _ = trained(env, [agent], [seed], devices=1)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(found), strict=True):
            assert len(b) == 5
            np.testing.assert_allclose(a[0], b[member], rtol=1e-5, atol=1e-5)


def test_what_is_gathered_can_be_scattered_into_other_groups():
    env = rlx.make_env("rlx/probe-terminated")
    members = [population.Member(Stub(env.spec), seed) for seed in range(5)]
    layouts = [layout_for(5, jax.devices()[:devices], size) for devices, size in ((1, 5), (2, 1))]
    first, second = (population.Population(members, env, layout=layout) for layout in layouts)
    clock = Clock.start(10_000, 6)
    whole = joined(first, first.start(clock))
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), first.member_shapes(clock))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), whole) == shapes
    moved = second.scatter_states(whole)
    assert len(moved) == 3
    again = joined(second, moved)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(
            *(np.asarray(jax.random.key_data(x) if "key" in str(x.dtype) else x) for x in (a, b))
        )
    # Each group gives its state up, the clock as well.
    assert [int(state.clock.iterations) for state in second.advance(moved, 2, True).states] == [2, 2, 2]
