"""What an update of REValueD costs at its paper's sizes, and what limits it.

It is measured beside the same update in PyTorch (`make bench-peers` installs that), its matrix products alone, one
critic in place of ten, and prioritised in place of uniform replay.
"""

import contextlib
import dataclasses
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rlx
from benchmarks import programs
from benchmarks.report import Report, Settings
from benchmarks.systems import PEERS, installed, started
from benchmarks.turns import Program, speed_of, take_turns
from rlx.learning.factored import FactoredState
from rlx.networks.decoupled import member_products
from rlx.replay import replay as replays
from rlx.types import EnvSpec, Key, MultiDiscrete, PyTree

CRITICS, BINS = 10, 3
_UPDATES = {True: 1, False: 12}  # in a repetition, quick or not
_REPLAY = {True: 10_000, False: 1_000_000}
# Hyperparameters that the peer shares.
_TOLD = (
    "num_critics", "hidden_size", "batch_size", "replay_size", "n_step", "discount", "regulariser", "learning_rate",
    "max_grad_norm", "target_rate",
)  # fmt: skip
_LAYERS = ("input", "residual_1", "residual_2", "head")


class Size(NamedTuple):
    """Of a task of the DeepMind Control Suite: numbers of an observation, and components of an action."""

    task: str
    observation: int
    components: int


SIZES = (Size("walker", 24, 6), Size("humanoid", 67, 21))


def measure(settings: Settings) -> Report:
    """A row for each size, if it should be quick only for the smaller."""
    sizes = SIZES[: 1 if settings.quick else None]
    rows = [row(size, speeds_of(size, settings)) for size in sizes]
    return Report("factored", "An update of REValueD", description(sizes, rows), rows)


def speeds_of(size: Size, settings: Settings) -> dict[str, list[float]]:
    """Updates a second of everything, once a round."""
    updates, replay_size = _UPDATES[settings.quick], _REPLAY[settings.quick]
    timed = timed_programs(size, replay_size)
    measures = {name: speed_of(program, updates, updates) for name, program in timed.items()}
    with contextlib.ExitStack() as stack:
        for peer in installed([PEERS["PyTorch"]]):
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            task = peers_task(agent_of(size, replay_size), updates)
            measures[peer.name] = stack.enter_context(started(peer, task, cache)).steps_per_second
        return take_turns(measures, settings.repetitions)


def row(size: Size, speeds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ratios are medians over rounds, each of the same round's."""

    def ratios(ours: str, theirs: str) -> list[float]:
        return [mine / other for mine, other in zip(speeds[ours], speeds[theirs], strict=True)]

    medians = {name: statistics.median(speed) for name, speed in speeds.items()}
    cells: dict[str, Any] = {"task": size.task, "updates/s": medians["update"], "ms": 1e3 / medians["update"]}
    if "PyTorch" in speeds:
        times = ratios("update", "PyTorch")
        cells |= {"PyTorch, updates/s": medians["PyTorch"], "rlx is x times as fast": statistics.median(times)}
        cells |= {"least": min(times), "most": max(times)}
    operations = matrix_operations(agent_of(size, 1_000))
    return cells | {
        "products alone, ms": 1e3 / medians["products"],
        "GFLOP/s": operations * medians["products"] / 1e9,
        "share of their speed": statistics.median(ratios("update", "products")),
        "one critic, ms": 1e3 / medians["one critic"],
        "ten take x times": statistics.median(ratios("one critic", "update")),
        "priorities add, %": 100 * (statistics.median(ratios("update", "priorities")) - 1),
    }


def description(sizes: Sequence[Size], rows: Sequence[Mapping[str, Any]]) -> str:
    """What was measured and how."""
    agent = agent_of(sizes[0], 1_000)
    tasks = ", ".join(
        f"{size.task} ({size.observation} numbers, {size.components} components, "
        f"{matrix_operations(agent_of(size, 1_000)) / 1e9:.1f} GFLOP of matrix products)"
        for size in sizes
    )
    peer = "PyTorch does the same, written plainly, with a batched product a layer. " if "least" in rows[0] else ""
    return f"""REValueD with {agent.num_critics} critics of width {agent.hidden_size}, minibatches of \
{agent.batch_size}, {BINS} choices a component, the mean target and the regulariser, at the sizes of {tasks}. An \
update stores {agent.num_envs} transitions in a full replay, of a million unless it should be quick, draws a \
minibatch, descends and moves the targets, in the form in which a member of a population does. {peer}Medians of \
interleaved repetitions. The products alone are those of an update without what stands between them, and so the most \
it could reach; those of ten critics are ten times those of one."""


def agent_of(size: Size, replay_size: int, **changes: Any) -> Any:
    """REValueD as in its paper; uniform replay."""
    spec = EnvSpec(size.task, (size.observation,), "float32", MultiDiscrete((BINS,) * size.components), None)
    fields: dict[str, Any] = {"num_critics": CRITICS, "replay_size": replay_size, "learning_starts": 0} | changes
    return rlx.make_agent("revalued", spec, **fields)


def timed_programs(size: Size, replay_size: int, **changes: Any) -> dict[str, Program]:
    """Programs that make updates, or do a part of them; ``changes`` are to the hyperparameters of all."""
    agent = agent_of(size, replay_size, **changes)
    others: dict[str, dict[str, Any]] = {"one critic": {"num_critics": 1}, "priorities": {"prioritise": True}}
    return {
        "update": updates(agent),
        "products": products(agent),
        **{name: updates(agent_of(size, replay_size, **changes | change)) for name, change in others.items()},
    }


def updates(agent: Any) -> Program:
    """Learning events of an agent with a full replay, on one rollout after another."""
    state = filled(agent)
    rows = jax.tree.map(lambda leaf: leaf[:1], state.replay.ring.data)
    rollout = dataclasses.replace(rows, extras={"explored": jnp.zeros(rows.reward.shape, bool)})
    rounds = state.replay.ring.capacity
    clock = dataclasses.replace(programs.clock_of(agent), iterations=jnp.int32(rounds))
    return programs.learning(agent, state, rollout, clock)


def filled(agent: Any) -> FactoredState:
    """The state of a new agent whose replay is full of random transitions, of random priorities if it has any."""
    state, rng = agent.init(jax.random.key(0)), np.random.default_rng(0)
    replay = state.replay

    def random(leaf: jax.Array) -> jax.Array:
        if leaf.dtype == bool:
            return leaf  # no episode ends
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.asarray(rng.integers(0, BINS, leaf.shape, np.int32), leaf.dtype)
        return jnp.asarray(rng.random(leaf.shape, np.float32))

    ring = dataclasses.replace(replay.ring, data=jax.tree.map(random, replay.ring.data))
    replay = dataclasses.replace(replay, ring=ring)
    if agent.prioritise:
        entries = ring.capacity * ring.num_envs
        priorities = jnp.asarray(rng.random(entries, np.float32))
        replay = jax.jit(replays.reprioritise)(replay, jnp.arange(entries), priorities)
    return dataclasses.replace(state, replay=replay)


def products(agent: Any) -> Program:
    """The matrix products of an update: online forward and backward, and the target networks' at both observations."""
    seen = jax.random.normal(jax.random.key(2), (2, agent.batch_size, *agent.spec.obs_shape))
    online, target = (kernels_of(agent.critics.init(jax.random.key(seed), seen)) for seed in (0, 1))

    def part(carry: PyTree, key: Key) -> PyTree:
        online, target, seen, _ = carry
        # New observations, so that XLA does not do every turn at once.
        obs, next_obs = seen * (1.0 + 1e-6 * jax.random.uniform(key))
        return online, target, seen, all_products(online, target, obs, next_obs)

    shapes = jax.eval_shape(all_products, online, target, *seen)
    results = jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes)
    return programs.repeated(part, (online, target, seen, results))


def all_products(online: PyTree, target: PyTree, obs: jax.Array, next_obs: jax.Array) -> PyTree:
    """The critics' utilities, their gradients, and what the target critics make of both observations."""
    utilities, pull_back = jax.vjp(lambda kernels: chained(kernels, obs), online)
    return utilities, pull_back(utilities), chained(target, obs), chained(target, next_obs)


def kernels_of(params: PyTree) -> dict[str, jax.Array]:
    """The weights ``[K, F, features]`` of the critics' layers."""
    return {name: params["params"][name]["kernel"] for name in _LAYERS}


def chained(kernels: Mapping[str, jax.Array], obs: jax.Array) -> jax.Array:
    """What the layers make of ``obs`` ``[B, F]`` without biases and activations, ``[K, B, outputs]``."""
    members = len(kernels[_LAYERS[0]])
    hidden = jnp.broadcast_to(obs, (members, *obs.shape))
    for name in _LAYERS:
        hidden = member_products(hidden, kernels[name])
    return hidden


def matrix_operations(agent: Any) -> int:
    """Floating-point operations of those products, 2 a weight and row; none leads back to the observations."""
    kernels = kernels_of(jax.eval_shape(agent.init, jax.random.key(0)).params)
    sizes = {name: kernel.size for name, kernel in kernels.items()}
    weights = 5 * sum(sizes.values()) - sizes[_LAYERS[0]]
    return 2 * agent.batch_size * weights


def peers_task(agent: Any, updates: int) -> dict[str, Any]:
    """What the peer's worker is told: the agent in plain numbers."""
    numbers = {name: getattr(agent, name) for name in _TOLD}
    (observation,), components = agent.spec.obs_shape, len(agent.spec.nvec)
    task = {"iterations": updates, "steps_per_iteration": 1, "members": 1}
    return task | numbers | {"observation": observation, "components": components, "choices": BINS}
