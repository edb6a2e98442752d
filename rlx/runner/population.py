"""Populations: any agents of one static part, times any seeds, on all devices.

Members are cut into *groups* of equal size, each a call of the same compiled program on a state of its own, and take
turns. A group has the same number of members on every device; what is left over in the last one is filled up with
copies of a member, which are nowhere to be seen outside this file.
"""

import copy
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.runner import nans
from rlx.runner.acting import acting_part
from rlx.runner.evaluate import Evaluation, can_be_unfinished
from rlx.runner.layout import Layout, layout_for, side_by_side_for
from rlx.runner.loop import RunState, without_clock
from rlx.runner.memory_plan import memory_plan
from rlx.runner.pieces import Joined
from rlx.runner.programs import MEMBERS, REPLICATED, programs
from rlx.runner.settings import RunSettings
from rlx.runner.waiting import compile_ahead, wait
from rlx.runner.window import Totals
from rlx.switches import in_32_bits, nans_wanted, shapes_of, uncompiled
from rlx.types import Agent, Clock, Key, Mode, PyTree

INIT_STREAM, EVALUATION_STREAM = 0, 1


class Member(NamedTuple):
    """One agent with one seed."""

    agent: Agent
    seed: int


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
            fields = dataclasses.fields(agent)  # type: ignore[arg-type]
            names = [field.name for field in fields if _fixed(agent, field) != _fixed(agents[0], field)]
            raise ConfigurationError(
                f"members of one population must agree in {', '.join(names)}: these fix shapes or branches; "
                "run them as separate populations"
            )
    return jax.tree.map(lambda *leaves: jnp.asarray(np.array(leaves, np.float32)), *agents)


def _fixed(agent: Agent, field: "dataclasses.Field[Any]") -> Any:
    """What all members must have in common of a field: a static one's value; of a number, that it is one."""
    value = vars(agent)[field.name]
    return jax.tree.structure(value) if field.metadata.get("pytree_node", True) else value


def keys_for(seeds: Sequence[int], stream: int) -> Key:
    """One key a member ``[M]``; each purpose has a stream of its own."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), stream))(jnp.asarray(seeds, jnp.uint32))


def evaluation_keys(seeds: Sequence[int], step: int) -> Key:
    """The keys ``[M]`` of the evaluation at ``step``, whatever was drawn before."""
    low, high = np.uint32(step % 2**32), np.uint32(step // 2**32)
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys_for(seeds, EVALUATION_STREAM), low)
    return jax.vmap(jax.random.fold_in, (0, None))(keys, high) if high else keys


def place(tree: PyTree, mesh: Mesh, spec: PyTree = MEMBERS) -> PyTree:
    """Put ``tree`` on the mesh's devices, split along the member axis where ``spec``, a prefix of it, says so."""
    whole = jax.tree.broadcast(spec, tree, is_leaf=lambda part: isinstance(part, PartitionSpec))
    # Programs return arrays without elements as replicated, and one compiled for split ones refuses them.
    placed = lambda leaf, part: jax.device_put(leaf, NamedSharding(mesh, part if leaf.size else REPLICATED))  # noqa: E731
    return jax.tree.map(placed, tree, whole)


class Advanced(NamedTuple):
    """The states of all groups after a chunk, and what there is to look at: still being computed, group by group."""

    states: list[RunState]
    healthy: list[jax.Array]
    totals: list[Totals]


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
        eval_max_steps: int = RunSettings.eval_max_steps,
    ) -> None:
        self.members = list(members)
        side_by_side = side_by_side_for(self.members[0].agent.needs, jax.default_backend())
        self.layout = layout or layout_for(len(members), side_by_side=side_by_side)
        mesh = self.layout.mesh
        bound = eval_max_steps if can_be_unfinished(env) else None
        donates = not nans_wanted()
        self.programs = programs(env, mesh, eval_episodes, eval_mode, bound, solved_return, donates)
        self.arrays = place(env.arrays, mesh, REPLICATED)
        self._compiled: dict[str, Any] = {}
        self._place_members()

    def _place_members(self) -> None:
        stacked = stack([member.agent for member in self.members])
        self.agents = [place(_at(stacked, slots), self.layout.mesh) for slots in self.layout.slots]
        self.seeds = [[self.members[slot].seed for slot in slots] for slots in self.layout.slots]

    def with_members(self, members: Sequence[Member], layout: Layout) -> "Population":
        """Other members for the same programs, with whatever these have compiled, if groups have the same size.

        Raises:
            ConfigurationError: as `stack`.
        """
        other = copy.copy(self)
        other.members, other.layout = list(members), layout
        other._place_members()
        return other

    def plan(self, clock: Clock, resumed: bool = False) -> str:
        """One line on the memory that this takes, from shapes alone; ``resumed``: from a checkpoint.

        Raises:
            ConfigurationError: if it cannot fit.
        """
        state = self.shapes(clock)
        rollout = shapes_of(self.programs.rollout, self.agents[0], state, self.arrays)
        return memory_plan([state] * self.layout.num_groups, rollout, list(self.layout.mesh.devices.flat), resumed)

    def shapes(self, clock: Clock) -> RunState:
        """Shapes and dtypes of the state of one group."""
        keys = jax.eval_shape(lambda: keys_for(self.seeds[0], INIT_STREAM))
        return shapes_of(self.programs.init, self.agents[0], keys, clock, self.arrays)

    def start(self, clock: Clock) -> list[RunState]:
        """The state of each group before the first step."""
        arguments = [(keys_for(seeds, INIT_STREAM), clock) for seeds in self.seeds]
        self._compile("init", *arguments[0])
        states = [self._run("init", group, *given) for group, given in enumerate(arguments)]
        wait(states)
        return jax.block_until_ready(states)  # as in `gather`

    def compile(self, states: Sequence[RunState]) -> int:
        """Compile training and evaluation ahead; return the bytes that they take beside the state, as XLA says."""
        acting = acting_part(self.members[0].agent, states[0].agent)
        arguments = {
            "chunk": (states[0], jnp.int32(1), jnp.bool_(True)),
            "evaluate": (acting, self._evaluation_keys(0, 0)),
        }
        self._compiled = {name: self._compile(name, *given) for name, given in arguments.items()}
        if uncompiled():
            return 0
        # Groups take turns; devices do not.
        analyses = [program.memory_analysis() for program in self._compiled.values()]
        return self.layout.mesh.size * max(getattr(each, "temp_size_in_bytes", 0) for each in analyses)

    def advance(self, states: Sequence[RunState], iterations: int, new_window: bool) -> Advanced:
        """Advance all groups by ``iterations``, one after the other; ``states`` are given up."""
        arguments = (jnp.int32(iterations), jnp.bool_(new_window))
        after = [self._run("chunk", group, state, *arguments) for group, state in enumerate(states)]
        return Advanced(*map(list, zip(*after, strict=True)))

    def evaluate(self, acting: Sequence[PyTree], step: int) -> Evaluation:
        """Evaluate the acting parts of all groups as at ``step``; results ``[M, n]``, on the host."""
        return self.gather(self.play(acting, step))

    def play(self, acting: Sequence[PyTree], step: int) -> list[Evaluation]:
        """Begin what `evaluate` does; the results of each group are still being computed."""
        arguments = [(part, self._evaluation_keys(group, step)) for group, part in enumerate(acting)]
        if "evaluate" not in self._compiled:
            self._compile("evaluate", *arguments[0])
        return [self._run("evaluate", group, *given) for group, given in enumerate(arguments)]

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

        wait(groups)
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

    @in_32_bits  # so that it is lowered to the same program, which may be on disk
    def _compile(self, name: str, *arguments: Any) -> Any:
        """The program ``name`` compiled for such arguments of a group; as it stands where nothing shall be compiled."""
        program = getattr(self.programs, name)
        return program if uncompiled() else compile_ahead(program, self.agents[0], *arguments, self.arrays)

    @in_32_bits
    def _run(self, name: str, group: int, *arguments: Any) -> Any:
        """Run the program ``name`` for a group."""
        program = getattr(self.programs, name)
        compiled = self._compiled.get(name, program)
        if not nans_wanted():
            return compiled(self.agents[group], *arguments, self.arrays)
        checked = nans.checked_chunk if name == "chunk" else nans.checked
        return checked(compiled, program, self.seeds[group], self.agents[group], *arguments, self.arrays)

    def _evaluation_keys(self, group: int, step: int) -> Key:
        return place(evaluation_keys(self.seeds[group], step), self.layout.mesh)


def _at(tree: PyTree, slots: np.ndarray) -> PyTree:
    """The members in ``slots``, which rise; without a copy where none is there twice."""
    rows = slice(slots[0], slots[-1] + 1)
    return jax.tree.map(lambda leaf: leaf[rows if len(slots) == rows.stop - rows.start else slots], tree)
