"""Populations: any agents of one static part, times any seeds, on all devices.

Members are cut into *groups* of equal size, each a call of the same compiled program on a state of its own, and take
turns. A group has the same number of members on every device; what is left over in the last one is filled up with
copies of a member, which are nowhere to be seen outside this file.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.runner.acting import acting_part
from rlx.runner.evaluate import Evaluation
from rlx.runner.loop import RunState, without_clock
from rlx.runner.memory_plan import memory_plan
from rlx.runner.pieces import Joined
from rlx.runner.programs import MEMBERS, REPLICATED, programs
from rlx.types import Agent, Clock, Key, Mode, PyTree

INIT_STREAM, EVALUATION_STREAM = 0, 1

# Of 8 members on two CPU cores, those that took turns ran 1.03 (PPO) and 0.98 times (DQN) as fast as four side by side
# on each (results/benchmark/against.md); more of them side by side leave the cache. Elsewhere small programs leave most
# of a device idle, and members side by side fill it.
SIDE_BY_SIDE = {"cpu": 1}


class Member(NamedTuple):
    """One agent with one seed."""

    agent: Agent
    seed: int


class Layout(NamedTuple):
    """How members lie on devices.

    Attributes:
        mesh: the devices in use.
        num_members: without those that fill up.
        num_groups: that take turns.
        group_size: members of a group, over all devices.
    """

    mesh: Mesh
    num_members: int
    num_groups: int
    group_size: int

    @property
    def slots(self) -> np.ndarray:
        """Which member computes where, int ``[num_groups, group_size]``; the last one fills up."""
        slots = np.minimum(np.arange(self.num_groups * self.group_size), self.num_members - 1)
        return slots.reshape(self.num_groups, self.group_size)


def layout_for(num_members: int, devices: Sequence[Any] | None = None, side_by_side: int | None = None) -> Layout:
    """Spread members over ``devices``, all of them unless given, ``side_by_side`` a device in each group.

    By default one on a CPU core (see `SIDE_BY_SIDE`), and elsewhere all.
    """
    devices = list(jax.devices() if devices is None else devices)[:num_members]
    a_device = math.ceil(num_members / len(devices))
    chosen = min(side_by_side or SIDE_BY_SIDE.get(devices[0].platform, a_device), a_device)
    num_groups = math.ceil(a_device / chosen)
    # As few copies as can be: of 5 members a device in groups of at most 4, 3 and 3.
    group_size = math.ceil(a_device / num_groups) * len(devices)
    return Layout(Mesh(np.array(devices), ("members",)), num_members, num_groups, group_size)


def members_of(agents: Sequence[Agent], seeds: Sequence[int]) -> list[Member]:
    """Every agent with every seed, agent by agent."""
    return [Member(agent, seed) for agent, seed in itertools.product(agents, seeds)]


def stack(agents: Sequence[Agent]) -> Agent:
    """Agents that differ only in real-valued hyperparameters, as one pytree with leaves ``[M]``.

    Raises:
        ConfigurationError: if a static field differs between them.
    """
    first = jax.tree.structure(agents[0])
    for agent in agents:
        if jax.tree.structure(agent) != first:  # type: ignore[operator]
            static = [f.name for f in dataclasses.fields(agent) if not f.metadata.get("pytree_node", True)]  # type: ignore[arg-type]
            names = [name for name in static if vars(agent)[name] != vars(agents[0])[name]]
            raise ConfigurationError(
                f"members of one population must agree in {', '.join(names)}: these fix shapes or branches; "
                "run them as separate populations"
            )
    return jax.tree.map(lambda *leaves: jnp.asarray(np.array(leaves, np.float32)), *agents)


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


class Advanced(NamedTuple):
    """The states of all groups after a chunk, and what there is to look at: still being computed, group by group."""

    states: list[RunState]
    healthy: list[jax.Array]
    window: list[dict[str, jax.Array]]


class Population:
    """Members on their devices, and the programs that move them; the states of its groups are the caller's."""

    def __init__(
        self,
        members: Sequence[Member],
        env: Env,
        eval_episodes: int = 1,
        eval_mode: Mode = "greedy",
        solved_return: float | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.members, self.layout = list(members), layout or layout_for(len(members))
        mesh = self.layout.mesh
        self.programs = programs(env, mesh, eval_episodes, eval_mode, solved_return)
        stacked = stack([member.agent for member in self.members])
        self.agents = [place(_at(stacked, slots), mesh) for slots in self.layout.slots]
        self.seeds = [[self.members[slot].seed for slot in slots] for slots in self.layout.slots]

    def plan(self, clock: Clock, resumed: bool = False) -> str:
        """One line on the memory that this takes, from shapes alone; ``resumed``: from a checkpoint.

        Raises:
            ConfigurationError: if it cannot fit.
        """
        state = self.shapes(clock)
        rollout = jax.eval_shape(self.programs.rollout, self.agents[0], state)
        return memory_plan([state] * self.layout.num_groups, rollout, list(self.layout.mesh.devices.flat), resumed)

    def shapes(self, clock: Clock) -> RunState:
        """Shapes and dtypes of the state of one group."""
        keys = jax.eval_shape(lambda: keys_for(self.seeds[0], INIT_STREAM))
        return jax.eval_shape(self.programs.init, self.agents[0], keys, clock)

    def start(self, clock: Clock) -> list[RunState]:
        """The state of each group before the first step."""
        groups = zip(self.agents, self.seeds, strict=True)
        started = [self.programs.init(agents, keys_for(seeds, INIT_STREAM), clock) for agents, seeds in groups]
        return jax.block_until_ready(started)  # as in `gather`

    def compile(self, states: Sequence[RunState]) -> int:
        """Compile training and evaluation ahead; return the bytes that they take beside the state, as XLA says."""
        arguments = (self.agents[0], states[0], jnp.int32(1), jnp.bool_(True))
        self._chunk = self.programs.chunk.lower(*arguments).compile()
        acting = acting_part(self.members[0].agent, states[0].agent)
        self._evaluate = self.programs.evaluate.lower(self.agents[0], acting, self._evaluation_keys(0, 0)).compile()
        # Groups take turns; devices do not.
        compiled = [program.memory_analysis() for program in (self._chunk, self._evaluate)]
        return self.layout.mesh.size * max(getattr(each, "temp_size_in_bytes", 0) for each in compiled)

    def advance(self, states: Sequence[RunState], iterations: int, new_window: bool) -> Advanced:
        """Advance all groups by ``iterations``, one after the other; ``states`` are given up."""
        compiled: Callable[..., Any] = vars(self).get("_chunk", self.programs.chunk)
        arguments = (jnp.int32(iterations), jnp.bool_(new_window))
        after = [compiled(agents, state, *arguments) for agents, state in zip(self.agents, states, strict=True)]
        return Advanced(*map(list, zip(*after, strict=True)))

    def evaluate(self, acting: Sequence[PyTree], step: int) -> Evaluation:
        """Evaluate the acting parts of all groups as at ``step``; results ``[M, n]``, on the host."""
        compiled: Callable[..., Any] = vars(self).get("_evaluate", self.programs.evaluate)
        groups = enumerate(zip(self.agents, acting, strict=True))
        return self.gather([compiled(agents, part, self._evaluation_keys(g, step)) for g, (agents, part) in groups])

    def acting(self, states: Sequence[RunState]) -> list[PyTree]:
        """The acting part of each group."""
        return [acting_part(self.members[0].agent, state.agent) for state in states]

    def gather(self, groups: Sequence[PyTree]) -> PyTree:
        """The members' values ``[M, ...]`` on the host, from those of each group ``[G, ...]``."""

        def joined(*leaves: jax.Array) -> Any:
            if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
                data = joined(*map(jax.random.key_data, leaves))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaves[0]))
            whole = np.array(leaves[0]) if len(leaves) == 1 else np.concatenate([np.asarray(leaf) for leaf in leaves])
            return whole[: self.layout.num_members]

        # Of an array that failed for want of memory JAX raises this here, while NumPy would wait for it for ever.
        return jax.tree.map(joined, *jax.block_until_ready(list(groups)))

    def join(self, groups: Sequence[PyTree]) -> PyTree:
        """The members' values ``[M, ...]`` where they are: what `gather` copies to the host, a `Joined` reads there."""

        def joined(*leaves: jax.Array) -> Any:
            if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
                return self.gather(leaves)
            return Joined(leaves, self.layout.num_members)

        return jax.tree.map(joined, *groups)

    def join_states(self, states: Sequence[RunState]) -> RunState:
        """The whole run, leaves ``[M, ...]``, however members are grouped; see `join`."""
        members = self.join([without_clock(state) for state in states])
        return dataclasses.replace(members, clock=states[0].clock)

    def scatter(self, tree: PyTree) -> list[PyTree]:
        """The inverse of `gather`: values ``[M, ...]`` on the devices, group by group."""
        return [place(_at(tree, slots), self.layout.mesh) for slots in self.layout.slots]

    def scatter_states(self, state: RunState) -> list[RunState]:
        """The inverse of `join_states`."""
        # A clock of its own for each group, since a chunk is given its state for good.
        clocks = [place(jax.tree.map(np.array, state.clock), self.layout.mesh, REPLICATED) for _ in self.layout.slots]
        members = self.scatter(without_clock(state))
        return [dataclasses.replace(part, clock=clock) for part, clock in zip(members, clocks, strict=True)]

    def member_shapes(self, clock: Clock) -> RunState:
        """Shapes and dtypes of what `join_states` gives."""
        group = self.shapes(clock)
        of_members = lambda leaf: jax.ShapeDtypeStruct((self.layout.num_members, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
        members = jax.tree.map(of_members, without_clock(group))
        return dataclasses.replace(members, clock=group.clock)

    def _evaluation_keys(self, group: int, step: int) -> Key:
        return place(evaluation_keys(self.seeds[group], step), self.layout.mesh)


def _at(tree: PyTree, slots: np.ndarray) -> PyTree:
    """The members in ``slots``, which rise; without a copy where none is there twice."""
    rows = slice(slots[0], slots[-1] + 1)
    return jax.tree.map(lambda leaf: leaf[rows if len(slots) == rows.stop - rows.start else slots], tree)
