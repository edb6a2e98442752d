"""The compiled programs of a population: one group of members, spread over devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from rlx.envs.api import Env
from rlx.runner import loop
from rlx.runner.collect import collect
from rlx.runner.evaluate import Evaluation, evaluate
from rlx.runner.memory_plan import num_bytes
from rlx.runner.window import Totals
from rlx.settings import environment_steps
from rlx.switches import in_32_bits, uncompiled
from rlx.types import Agent, Clock, Key, Mode, PyTree

Arrays = tuple[jax.Array, ...]

MEMBERS = PartitionSpec("members")
REPLICATED = PartitionSpec()
# The sharded counterpart of loop.MEMBER_AXES.
RUN_STATE = jax.tree.map(
    lambda axis: MEMBERS if axis == 0 else REPLICATED, loop.MEMBER_AXES, is_leaf=lambda axis: axis is None
)


# Auto-reset as a branch saves the selection of whole states in every step, and breaks a program up. On two CPU cores
# one member of PPO on CartPole (16 bytes an observation) took 1.2 times as long with the branch, one of masked PPO on
# microRTS 10x10 (3 KiB) 0.9 times.
LARGE_STATE = 1024


class Programs(NamedTuple):
    """Functions of members ``[G]`` made by `program_of`, ``G`` a multiple of the mesh's devices.

    The state given to ``chunk`` is donated, but for ``jax_debug_nans`` (see `rlx.runner.nans`).

    The last argument of all of them is ``env.arrays``.

    Attributes:
        init: ``(agents, keys, clock, arrays) -> state``.
        chunk: ``(agents, state, iterations, new_window, arrays) -> (state, healthy, totals)``, see `rlx.runner.loop`.
        evaluate: ``(agents, acting_state, keys, arrays) -> Evaluation``.
        rollout: ``(agents, state, arrays) -> rollouts``, to ask for its shapes.
    """

    init: Any
    chunk: Any
    evaluate: Any
    rollout: Any


@functools.lru_cache(maxsize=4)
def programs(
    env: Env,
    mesh: Mesh,
    eval_episodes: int,
    eval_mode: Mode,
    eval_max_steps: int | None = None,
    solved_return: float | None = None,
    donates: bool = True,
) -> Programs:
    """Build the programs on ``mesh``; nothing is compiled yet.

    Asked again for the same, it returns the same programs, with whatever they have traced and compiled. A device that
    holds several members computes them side by side. Where it holds one and the task's state is large, that one has no
    member axis: auto-reset then stays a branch (see `LARGE_STATE`). Either way the axis stands outside the loop over
    iterations: inside, each of them would copy the replay. Under ``jax_disable_jit`` a single one never has it, so that
    agents see values that can be printed.
    """

    def init(agents: Agent, keys: Key, clock: Clock, arrays: Arrays) -> loop.RunState:
        agents, task = inside(agents, env, arrays)
        member = lambda agent, key: loop.init(agent, task, key, clock, solved_return)  # noqa: E731
        return jax.vmap(member, out_axes=loop.MEMBER_AXES)(agents, keys)

    def chunk(
        agents: Agent, state: loop.RunState, iterations: jax.Array, new_window: jax.Array, arrays: Arrays
    ) -> tuple[loop.RunState, jax.Array, Totals]:
        agents, task = inside(agents, env, arrays)
        state = advanced(agents, task, state, iterations, new_window)
        return state, loop.healthy(state), loop.totals(state)

    def evaluation(agents: Agent, acting: PyTree, keys: Key, arrays: Arrays) -> Evaluation:
        agents, task = inside(agents, env, arrays)
        how = (eval_episodes, eval_mode, eval_max_steps)
        return each(lambda agent, acting, key: evaluate(agent, task, acting, key, *how), agents, acting, keys)

    def rollout(agents: Agent, state: loop.RunState, arrays: Arrays) -> PyTree:
        agents, task = inside(agents, env, arrays)
        member = lambda agent, state: collect(agent, task, state.agent, state.scene, state.key, state.clock)[1]  # noqa: E731
        return jax.vmap(member, (0, loop.MEMBER_AXES))(agents, state)

    made = functools.partial(program_of, mesh)
    chunk_in, chunk_out = (MEMBERS, RUN_STATE, *[REPLICATED] * 3), (RUN_STATE, MEMBERS, MEMBERS)
    return Programs(
        init=made(init, (MEMBERS, MEMBERS, REPLICATED, REPLICATED), RUN_STATE),
        chunk=made(chunk, chunk_in, chunk_out, donate=(1,) if donates else ()),
        evaluate=made(evaluation, (MEMBERS, MEMBERS, MEMBERS, REPLICATED), MEMBERS),
        rollout=made(rollout, (MEMBERS, RUN_STATE, REPLICATED), MEMBERS),
    )


def advanced(
    agents: Agent, env: Env, state: loop.RunState, iterations: jax.Array, new_window: jax.Array
) -> loop.RunState:
    """The state after a chunk, computed without a member axis where that is better (see `programs`)."""
    if len(state.key) == 1 and (uncompiled() or has_large_state(env)):
        return with_axis(loop.chunk_alone(without_axis(agents), env, member_of(state), iterations, new_window))
    return loop.chunk(agents, env, state, iterations, new_window)


def inside(agents: Agent, env: Env, arrays: Arrays) -> tuple[Agent, Env]:
    """The environment with the arrays that a program received, and the agents with its step, where they take one."""
    if not arrays:
        return agents, env
    env = env.with_arrays(arrays)
    steps = {name: env.simulate for name in environment_steps(type(agents)) if vars(agents)[name] is not None}
    return dataclasses.replace(agents, **steps), env  # type: ignore[type-var]


def program_of(
    mesh: Mesh, function: Callable[..., Any], in_specs: Any, out_specs: Any, donate: tuple[int, ...] = ()
) -> Any:
    """How a program is made of a function of members: in 32 bits, members spread over the mesh, compiled.

    Under ``jax_disable_jit`` it is the function itself.
    """
    function = in_32_bits(function)
    # shard_map rather than sharding propagation: members never communicate, so nothing may be gathered.
    mapped = jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    @functools.wraps(function)
    def program(*arguments: Any) -> Any:
        return function(*arguments) if uncompiled() else mapped(*arguments)

    return jax.jit(program, donate_argnums=donate, compiler_options=compiler_options(mesh.devices.flat[0].platform))


def each(function: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
    """``function`` of each member ``[G]``; under ``jax_disable_jit`` a single one has no member axis."""
    if uncompiled() and len(jax.tree.leaves(arguments)[0]) == 1:
        return jax.tree.map(lambda x: x[None], function(*without_axis(arguments)))
    return jax.vmap(function)(*arguments)


def has_large_state(env: Env) -> bool:
    """Whether one copy of the task, state and observation, takes more than `LARGE_STATE` bytes."""
    start = jax.eval_shape(lambda key: env.task.reset_env(key, env.params), jax.random.key(0))
    return num_bytes(start) > LARGE_STATE


def compiler_options(platform: str) -> dict[str, Any]:
    """On CPU the widest vectors there are: LLVM's default of 256 bits made PPO 64 x 64 take 7 % longer."""
    return {"xla_cpu_prefer_vector_width": 512} if platform == "cpu" else {}


def without_axis(tree: PyTree) -> PyTree:
    """The only member of a tree with leaves ``[1, ...]``."""
    return jax.tree.map(lambda x: jnp.squeeze(x, 0), tree)


def member_of(state: loop.RunState) -> loop.RunState:
    """The only member of a state; the clock has no member axis."""
    return dataclasses.replace(without_axis(loop.without_clock(state)), clock=state.clock)


def with_axis(state: loop.RunState) -> loop.RunState:
    """The inverse of `member_of`."""
    members = jax.tree.map(lambda x: x[None], loop.without_clock(state))
    return dataclasses.replace(members, clock=state.clock)
