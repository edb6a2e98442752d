"""What an update of Symphony costs at a tiny and at its paper's size, and what limits it.

It is measured beside the same update in PyTorch (`make bench-peers` installs that), its matrix products alone, and
writing to and drawing from its full replay alone.
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
from flax import struct

import rlx
from benchmarks import programs
from benchmarks.report import Report, Settings
from benchmarks.systems import PEERS, installed, started
from benchmarks.turns import Program, speed_of, take_turns
from rlx.agents.symphony import Symphony, SymphonyState
from rlx.networks.decoupled import member_products
from rlx.replay import replay as replays
from rlx.replay.replay import Replay
from rlx.types import Box, Clock, EnvSpec, Key, Needs, PyTree, Transition

PEER = "PyTorch, Symphony"
# Hyperparameters that the peer shares.
_TOLD = (
    "hidden_size", "num_critics", "num_nodes", "batch_size", "learning_rate", "target_rate", "discount", "noise_std",
    "noise_clip", "momentum", "b1", "b2", "weight_decay",
)  # fmt: skip
_LAYERS = ("Dense_0", "Dense_1", "Dense_2")


class Size(NamedTuple):
    """What fixes the work: numbers of observation and action, hyperparameters, and updates in a repetition."""

    name: str
    observation: int
    action: int
    fields: Mapping[str, Any]
    updates: int


TINY = {"hidden_size": 64, "num_nodes": 16, "batch_size": 48, "exploration_steps": 1_000, "copies": 20}
# The paper's networks, and a replay of 384,000 entries, the least that it advises.
PAPER = {"exploration_steps": 7_680, "copies": 50}
SIZES = (Size("tiny", 3, 1, TINY, 200), Size("paper", 376, 17, PAPER, 10))


def measure(settings: Settings) -> Report:
    """A row for each size, if it should be quick only for the smaller."""
    sizes = SIZES[: 1 if settings.quick else None]
    rows = [row(size, speeds_of(size, settings)) for size in sizes]
    return Report("symphony", "An update of Symphony", description(sizes, rows), rows)


def speeds_of(size: Size, settings: Settings) -> dict[str, list[float]]:
    """Updates a second of everything, once a round."""
    updates = 2 if settings.quick else size.updates
    measures = {name: speed_of(program, updates, updates) for name, program in timed_programs(size).items()}
    # Alone it is so short that many turns are needed to time it.
    measures["replay"] = speed_of(drawing(agent_of(size)), 100 * updates, 100 * updates)
    with contextlib.ExitStack() as stack:
        for peer in installed([PEERS[PEER]]):
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            measures[PEER] = stack.enter_context(started(peer, peers_task(size, updates), cache)).steps_per_second
        return take_turns(measures, settings.repetitions)


def row(size: Size, speeds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ratios are medians over rounds, each of the same round's."""

    def ratios(ours: str, theirs: str) -> list[float]:
        return [mine / other for mine, other in zip(speeds[ours], speeds[theirs], strict=True)]

    medians = {name: statistics.median(speed) for name, speed in speeds.items()}
    cells: dict[str, Any] = {"size": size.name, "updates/s": medians["update"], "ms": 1e3 / medians["update"]}
    if PEER in speeds:
        times = ratios("update", PEER)
        cells |= {"PyTorch, updates/s": medians[PEER], "rlx is x times as fast": statistics.median(times)}
        cells |= {"least": min(times), "most": max(times)}
    return cells | {
        "products alone, ms": 1e3 / medians["products"],
        "GFLOP/s": matrix_operations(size) * medians["products"] / 1e9,
        "share of their speed": statistics.median(ratios("update", "products")),
        "replay alone, ms": 1e3 / medians["replay"],
        "replay, % of an update": 100 * statistics.median(ratios("update", "replay")),
    }


def description(sizes: Sequence[Size], rows: Sequence[Mapping[str, Any]]) -> str:
    """What was measured and how."""
    told = "; ".join(
        f"{size.name}: {size.observation} numbers of an observation, {size.action} of an action, layers of "
        f"{agent_of(size).hidden_size}, minibatches of {agent_of(size).batch_size}, a full replay of "
        f"{agent_of(size).exploration_steps * agent_of(size).copies:,}, {matrix_operations(size) / 1e9:.2f} GFLOP of "
        "matrix products"
        for size in sizes
    )
    peer = "PyTorch does the same, written plainly, with a batched product a layer. " if "least" in rows[0] else ""
    return f"""Symphony-S3. {told}. An update stores a transition, draws a minibatch by age, descends and moves the \
targets, in the form in which a member of a population does. {peer}Medians of interleaved repetitions. The products \
alone are those of an update without what stands between them, and so the most it could reach. The replay alone stores \
a transition and draws a minibatch."""


def agent_of(size: Size) -> Symphony:
    """Symphony-S3 that makes one update a step."""
    spec = EnvSpec(size.name, (size.observation,), "float32", Box(size.action), None)
    agent = rlx.make_agent("symphony", spec, **size.fields, updates_per_step=1)
    assert isinstance(agent, Symphony)
    return agent


def timed_programs(size: Size) -> dict[str, Program]:
    """An update, and its products alone."""
    agent = agent_of(size)
    state = filled(agent)
    return {
        "update": programs.learning(agent, state, rollout_of(state.replay), clock_of(agent)),
        "products": products(agent),
    }


def clock_of(agent: Symphony) -> Clock:
    """The clock of a run whose exploration is over."""
    return dataclasses.replace(programs.clock_of(agent), iterations=jnp.int32(agent.exploration_events))


def filled(agent: Symphony) -> SymphonyState:
    """The state of a new agent whose replay is full of random transitions."""
    state, rng = agent.init(jax.random.key(0)), np.random.default_rng(0)
    random = lambda leaf: leaf if leaf.dtype == bool else jnp.asarray(rng.random(leaf.shape, np.float32))  # noqa: E731
    ring = dataclasses.replace(state.replay.ring, data=jax.tree.map(random, state.replay.ring.data))
    replay = dataclasses.replace(state.replay, ring=ring)
    return dataclasses.replace(state, replay=replay, reward_size=jnp.ones(()))


def rollout_of(replay: Replay) -> Transition:
    """A transition to write again and again."""
    return jax.tree.map(lambda leaf: jnp.copy(leaf[:1]), replay.ring.data)


@struct.dataclass
class Drawing:
    """What of an update is the replay's: an agent that stores and draws, and adds up what it has drawn."""

    agent: Symphony

    @property
    def needs(self) -> Needs:
        """The agent's."""
        return self.agent.needs

    def update(self, state: tuple[Replay, PyTree], rollout: Transition, key: Key, clock: Clock) -> tuple[PyTree, None]:
        """From a replay and sums to the same after a learning event."""
        replay = replays.add(state[0], rollout, clock.iterations)
        rule = self.agent.rule(replay.ring.capacity)
        drawn = replays.sample(replay, clock.iterations, key, self.agent.batch_size, rule, self.agent.discount)
        batch = (drawn.batch.obs, drawn.batch.action, drawn.batch.reward, drawn.batch.next_obs)
        return (replay, jax.tree.map(jnp.add, state[1], batch)), None


def drawing(agent: Symphony) -> Program:
    """Writing to and drawing from a full replay."""
    replay = filled(agent).replay
    sums = jax.tree.map(
        lambda leaf: jnp.zeros((agent.batch_size, *leaf.shape[2:])),
        (replay.ring.data.obs, replay.ring.data.action, replay.ring.data.reward, replay.ring.data.next_obs),
    )
    return programs.learning(Drawing(agent), (replay, sums), rollout_of(replay), clock_of(agent))


def products(agent: Symphony) -> Program:
    """The matrix products of an update."""
    shapes = jax.eval_shape(agent.init, jax.random.key(0)).params
    kernels = {
        name: [jax.random.normal(jax.random.key(i), shape) / shape[-2] ** 0.5 for i, shape in enumerate(layers)]
        for name, layers in kernels_of(shapes).items()
    }
    kernels["targets"] = [kernel + 0.01 for kernel in kernels["critics"]]
    (observation,), (action,) = agent.spec.obs_shape, agent.spec.action_shape
    seen = jax.random.normal(jax.random.key(3), (2, agent.batch_size, observation + action))

    def part(carry: PyTree, key: Key) -> PyTree:
        kernels, seen, _ = carry
        # New observations, so that XLA does not do every turn at once.
        return kernels, seen, all_products(kernels, seen * (1.0 + 1e-6 * jax.random.uniform(key)), action)

    results = jax.tree.map(
        lambda shape: jnp.zeros(shape.shape), jax.eval_shape(lambda k, s: all_products(k, s, action), kernels, seen)
    )
    return programs.repeated(part, (kernels, seen, results))


def kernels_of(params: PyTree) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of the weights of each network's layers, those of the critics with an axis of critics."""
    return {name: [params[name]["params"][layer]["kernel"].shape for layer in _LAYERS] for name in params}


def all_products(kernels: Mapping[str, Sequence[jax.Array]], seen: jax.Array, action: int) -> PyTree:
    """Outputs of the online networks, and all gradients; ``seen`` are observations and next ones, with actions."""

    def outputs(actor: PyTree, critics: PyTree) -> PyTree:
        raw = seen[1, :, :-action]
        for kernel in actor:
            raw = raw @ kernel
        pair = jnp.concatenate([seen[1, :, :-action], raw[:, :action]], axis=-1)
        return chained(kernels["targets"], pair), chained(critics, seen[0])

    found, pull_back = jax.vjp(outputs, kernels["actor"], kernels["critics"])
    return found, pull_back(found)


def chained(kernels: Sequence[jax.Array], x: jax.Array) -> jax.Array:
    """What the layers of all critics make of ``x`` ``[B, F]`` without all else, ``[K, B, n]``."""
    x = jnp.einsum("bf,kfo->kbo", x, kernels[0])
    for kernel in kernels[1:]:
        x = member_products(x, kernel)
    return x


def matrix_operations(size: Size) -> int:
    """Floating-point operations of those products, 2 a weight and row.

    Every network goes forward; all weights but the targets' have gradients, all layers but the first hand theirs on,
    and the targets' first one the action's.
    """
    agent = agent_of(size)
    h, o, d, n, k = agent.hidden_size, size.observation, size.action, agent.num_nodes, agent.num_critics
    actor, critics = h * (o + h + 3 * d), k * h * (o + d + h + n)
    inner, outer = h * (h + 3 * d), k * h * (h + n)
    return 2 * agent.batch_size * (2 * actor + inner + 2 * critics + outer + critics + outer + k * h * d)


def peers_task(size: Size, updates: int) -> dict[str, Any]:
    """What the peer's worker is told: the agent in plain numbers."""
    agent = agent_of(size)
    numbers = {name: float(getattr(agent, name)) if name not in size.fields else size.fields[name] for name in _TOLD}
    whole = ("hidden_size", "num_critics", "num_nodes", "batch_size")
    numbers |= {name: int(numbers[name]) for name in whole}
    task = {"iterations": updates, "steps_per_iteration": 1, "members": 1}
    replay = agent.exploration_steps * agent.copies
    return task | numbers | {"observation": size.observation, "action": size.action, "replay_size": replay}
