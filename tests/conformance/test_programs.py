"""What an agent compiles to: how often, with which branches, at which cost in memory."""

import jax
import jax.numpy as jnp
import pytest
from cases import host, scaled, unequal

from rlx.runner import loop
from rlx.runner.acting import remember
from rlx.runner.collect import collect
from rlx.settings import settings_of


def test_real_numbers_can_be_swept(case):
    """Every real-valued hyperparameter is a leaf."""
    real = {name for name, setting in settings_of(type(case.agent)).items() if setting.type is float}
    leaves = {path[0].name for path, _ in jax.tree.leaves_with_path(case.agent)}
    assert real <= leaves


def test_a_sweep_compiles_once(case, compilations):
    def use(factor):
        agents = [scaled(case.agent, factor)]
        jax.block_until_ready(case.one.advance(case.one.start(agents), 1, agents=agents).agent)

    use(1.0)
    with compilations() as names:
        use(0.9)
        use(0.7)
    assert names == []


def test_branches_on_the_clock_stay_branches_in_a_population(case):
    """All of the agent's are; what the environment asks of its own episodes is not."""
    key, clock = jax.random.key(0), case.one.clock
    one = jax.eval_shape(lambda: loop.init(case.agent, case.env, key, clock))
    _, rollout = jax.eval_shape(lambda state: collect(case.agent, case.env, state.agent, state.scene, key, clock), one)
    _, timestep = jax.eval_shape(
        lambda state: remember(case.agent, state.agent, state.scene.memory, state.scene.timestep, learning=True), one
    )
    acting = jax.make_jaxpr(case.agent.act)(one.agent, timestep, key, clock)
    learning = jax.make_jaxpr(case.agent.update)(one.agent, rollout, key, clock)
    alone = sum(name == "cond" for program in (acting, learning) for name in primitives(program))
    if alone == 0:
        pytest.skip("it has no branches")
    assert sum(name == "cond" for name in primitives(case.three.traced_chunk().jaxpr)) == alone


def test_a_chunk_calls_nothing_on_the_host(case):
    program = case.three.traced_chunk().jaxpr
    assert not program.effects
    assert not [name for name in primitives(program) if "callback" in name or name in ("infeed", "outfeed")]


def test_a_chunk_returns_few_numbers_a_member_beside_the_state(case):
    """So its bytes do not depend on its length, which is an argument of the one program."""
    state, healthy, window = case.three.traced_chunk().out_info
    assert healthy.shape == (3,)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(window)} == {3}
    assert sum(leaf.size for leaf in jax.tree.leaves(window)) < 300
    given = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), case.three.start())
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == given


def test_the_state_is_donated_whole(case):
    given = case.three.start()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(host(given)))
    arguments = (case.three.members.agents[0], given, jnp.int32(1), jnp.bool_(False), case.three.members.arrays)
    program = case.three.members.programs.chunk.lower(*arguments).compile()
    assert program.memory_analysis().alias_size_in_bytes == size
    program(*arguments)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))


def test_how_a_run_is_cut_into_chunks_changes_no_bit(case):
    whole = case.three.advance(case.three.start(), 6)
    parts = case.three.advance(case.three.start(), 1, 2, 3)
    assert unequal(whole, parts) == []
    assert int(whole.clock.iterations) == 6
    assert int(whole.clock.env_steps) == 6 * case.agent.needs.num_envs * case.agent.needs.rollout_length


def primitives(program):
    """Names of the operations of a jaxpr, those of its inner programs included."""
    program = getattr(program, "jaxpr", program)
    for equation in program.eqns:
        yield equation.primitive.name
        inner = jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns"))
        for leaf in inner:
            if hasattr(leaf, "eqns") or hasattr(leaf, "jaxpr"):
                yield from primitives(leaf)
