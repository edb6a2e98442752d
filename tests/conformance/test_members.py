"""A population is its members, each as it would be alone, and no two of them alike."""

import jax
import numpy as np
import pytest
from cases import host, member

from rlx.runner.acting import remember
from rlx.runner.loop import without_clock


@pytest.fixture(scope="session")
def trained(case):
    """Three members after a few iterations."""
    return host(case.three.advance(case.three.start(), case.iterations))


def test_a_member_equals_the_same_member_alone(case, trained):
    index = 2  # neither its seed nor its hyperparameters are the first's
    agents = [case.different[index]]
    alone = host(case.one.advance(case.one.start(agents, seeds=(index,)), case.iterations, agents=agents))
    leaves = zip(jax.tree.leaves_with_path(member(trained, index)), jax.tree.leaves(alone), strict=True)
    for (path, a), b in leaves:
        # Batched matrix products add in another order; nothing but rounding may differ.
        tolerance = 1e-4 if a.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))


def test_members_start_from_different_parameters(case):
    params = jax.tree.leaves(host(case.three.start().agent.params))
    drawn = [leaf for leaf in params if np.ptp(leaf[0]) > 0]
    if not drawn:
        pytest.skip("its parameters start at constants")
    for leaf in drawn:
        assert len(np.unique(leaf.reshape(3, -1), axis=0)) == 3


def test_members_differ_after_learning(trained):
    for leaf in jax.tree.leaves(trained.agent.params):
        assert len(np.unique(leaf.reshape(3, -1), axis=0)) == 3


def test_actions_depend_on_the_key_and_on_nothing_hidden(case):
    state = jax.tree.map(lambda leaf: leaf[0], without_clock(case.one.start()))
    keys = jax.random.split(jax.random.key(0), 16)
    _, timestep = remember(case.agent, state.agent, state.scene.memory, state.scene.timestep, learning=True)
    act = jax.jit(jax.vmap(lambda key: case.agent.act(state.agent, timestep, key, case.one.clock)[0]))
    actions = np.asarray(act(keys))
    np.testing.assert_array_equal(actions, act(keys))
    assert len(np.unique(actions.reshape(16, -1), axis=0)) > 1
