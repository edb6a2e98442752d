"""Populations: seeds x hyperparameters as one program, spread over all devices."""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.replay.ring import Ring
from rlx.runner import loop
from rlx.runner.evaluate import Evaluation, evaluate
from rlx.types import Agent, Clock, Key, Mode, PyTree

MEMBERS = PartitionSpec("members")
REPLICATED = PartitionSpec()
# The sharded counterpart of loop.MEMBER_AXES.
RUN_STATE = jax.tree.map(
    lambda axis: MEMBERS if axis == 0 else REPLICATED, loop.MEMBER_AXES, is_leaf=lambda axis: axis is None
)


def stack(agents: Sequence[Agent]) -> Agent:
    """Agents that differ only in real-valued hyperparameters, as one pytree with leaves ``[M]``.

    Raises:
        ConfigurationError: if a static field differs between them.
    """
    structures = [jax.tree.structure(agent) for agent in agents]
    for agent, structure in zip(agents, structures, strict=True):
        if structure != structures[0]:  # type: ignore[operator]
            static = [f.name for f in dataclasses.fields(agent) if not f.metadata.get("pytree_node", True)]  # type: ignore[arg-type]
            names = [name for name in static if getattr(agent, name) != getattr(agents[0], name)]
            raise ConfigurationError(
                f"members of one population must agree in {', '.join(names)}: these fix shapes or branches; "
                "run them as separate populations"
            )
    return jax.tree.map(lambda *leaves: jnp.asarray(np.array(leaves, np.float32)), *agents)


def mesh_for(num_members: int, devices: Sequence[Any] | None = None) -> Mesh:
    """A one-dimensional mesh of the most devices that share ``num_members`` evenly."""
    devices = jax.devices() if devices is None else devices
    count = max(n for n in range(1, len(devices) + 1) if num_members % n == 0)
    return Mesh(np.array(devices[:count]), ("members",))


INIT_STREAM, EVALUATION_STREAM = 0, 1


def keys_for(seeds: Sequence[int], stream: int) -> Key:
    """One key a member ``[M]``; each purpose has a stream of its own."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), stream))(jnp.asarray(seeds, jnp.uint32))


def evaluation_keys(seeds: Sequence[int], step: jax.Array | int) -> Key:
    """The keys ``[M]`` of the evaluation at ``step``, whatever was drawn before."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys_for(seeds, EVALUATION_STREAM), step)


def place(tree: PyTree, mesh: Mesh, spec: PyTree = MEMBERS) -> PyTree:
    """Put ``tree`` on the mesh's devices, split along the member axis where ``spec``, a prefix of it, says so."""
    whole = jax.tree.broadcast(spec, tree, is_leaf=lambda part: isinstance(part, PartitionSpec))
    return jax.tree.map(lambda leaf, part: jax.device_put(leaf, NamedSharding(mesh, part)), tree, whole)


def memory_plan(shapes: PyTree, mesh: Mesh) -> str:
    """One line on the memory that the state will take, replay apart, before it is allocated.

    Raises:
        ConfigurationError: if it cannot fit.
    """
    leaves = jax.tree.leaves(shapes, is_leaf=lambda node: isinstance(node, Ring))
    replay = sum(_num_bytes(leaf) for leaf in leaves if isinstance(leaf, Ring))
    total = _num_bytes(shapes)
    line = f"state {_readable(total)} (replay {_readable(replay)}) on {mesh.size} device(s)"
    available = _available_bytes(mesh)
    if available is not None and total > available:
        remedy = "agent.replay_size" if 2 * replay > total else "agent.num_envs, agent.hidden_sizes or env.pool_size"
        raise ConfigurationError(f"{line} does not fit: {_readable(available)} are there; lower num_seeds or {remedy}")
    return line


def _num_bytes(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _available_bytes(mesh: Mesh) -> int | None:
    """Memory of the host for CPU devices, else what is free on the mesh's devices together."""
    devices = list(mesh.devices.flat)
    if devices[0].platform == "cpu":
        names = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"}
        return math.prod(os.sysconf(name) for name in names) if names <= os.sysconf_names.keys() else None
    statistics = [device.memory_stats() for device in devices]
    if not all(statistics):
        return None
    return sum(each["bytes_limit"] - each["bytes_in_use"] for each in statistics)


def _readable(num_bytes: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024  # type: ignore[assignment]
    return f"{num_bytes:.3g} GiB"


def compiler_options(platform: str) -> dict[str, Any]:
    """On CPU the widest vectors there are: LLVM's default of 256 bits made PPO 64 x 64 take 7 % longer."""
    return {"xla_cpu_prefer_vector_width": 512} if platform == "cpu" else {}


class Programs(NamedTuple):
    """The compiled programs of a population; the state given to ``chunk`` is donated."""

    init: Any
    chunk: Any
    evaluate: Any


@functools.lru_cache(maxsize=4)
def programs(env: Env, mesh: Mesh, eval_episodes: int, mode: Mode) -> Programs:
    """Build the jitted programs of a population on ``mesh``; nothing is compiled yet.

    Asked again for the same, it returns the same programs, with whatever they have traced and compiled.

    ``init(agents, keys, clock)``, ``chunk(agents, state, iterations, new_window)`` and
    ``evaluate(agents, acting_state, keys)``, all with leading member axes.
    """

    def init(agents: Agent, keys: Key, clock: Clock) -> loop.RunState:
        member = lambda agent, key: loop.init(agent, env, key, clock)  # noqa: E731
        return jax.vmap(member, out_axes=loop.MEMBER_AXES)(agents, keys)

    def chunk(
        agents: Agent, state: loop.RunState, iterations: jax.Array, new_window: jax.Array
    ) -> tuple[loop.RunState, jax.Array, dict[str, jax.Array]]:
        state = loop.chunk(agents, env, state, iterations, new_window)
        return state, loop.healthy(state), loop.window(state)

    def evaluation(agents: Agent, acting: PyTree, keys: Key) -> Evaluation:
        return jax.vmap(lambda agent, acting, key: evaluate(agent, env, acting, key, eval_episodes, mode))(
            agents, acting, keys
        )

    def sharded(function: Any, in_specs: Any, out_specs: Any, donate: tuple[int, ...] = ()) -> Any:
        # shard_map rather than sharding propagation: members never communicate, so nothing may be gathered.
        mapped = jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        return jax.jit(mapped, donate_argnums=donate, compiler_options=compiler_options(mesh.devices.flat[0].platform))

    return Programs(
        init=sharded(init, (MEMBERS, MEMBERS, REPLICATED), RUN_STATE),
        chunk=sharded(chunk, (MEMBERS, RUN_STATE, REPLICATED, REPLICATED), (RUN_STATE, MEMBERS, MEMBERS), donate=(1,)),
        evaluate=sharded(evaluation, (MEMBERS, MEMBERS, MEMBERS), MEMBERS),
    )
