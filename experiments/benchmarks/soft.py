"""What training SAC costs, what limits it, and what ACE adds to it.

It is measured in Pendulum beside rejax and sbx (`make bench-peers` installs them) and beside the matrix products of its
updates alone; ACE in a task of the sizes of HalfCheetah, where a causal order of 24 variables is searched for.
"""

import contextlib
import dataclasses
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rlx
from benchmarks import programs
from benchmarks.cases import CASES, SAC
from benchmarks.report import Report, Settings
from benchmarks.systems import PEERS, installed, started
from benchmarks.turns import Program, speed_of, take_turns
from rlx.replay.transitions import example_transition
from rlx.types import Box, EnvSpec, Key, PyTree, Transition

CASES_BY_MEMBERS = {1: "sac", 8: "sac-8-seeds"}
TASK = "gymnax/Pendulum-v1"
# Sizes of HalfCheetah; a full replay of this many transitions.
CHEETAH = EnvSpec("sizes of halfcheetah", (17,), "float32", Box(6), None)
FILLED = 20_000
TRAINING, PRODUCTS = "training", "products"
SAC_UPDATE, ACE_UPDATE, ESTIMATE = "SAC", "ACE between estimates", "estimate"
_UPDATES = {True: 20, False: 300}  # of one member in a repetition, quick or not


def measure(settings: Settings) -> Report:
    """A row for each number of members, if it should be quick only for one."""
    members = list(CASES_BY_MEMBERS)[: 1 if settings.quick else None]
    rows = [row(number, speeds_of(number, settings)) for number in members]
    return Report("soft", "SAC and ACE", DESCRIPTION, rows)


DESCRIPTION = f"""SAC with networks of {SAC["hidden_sizes"][0]}-{SAC["hidden_sizes"][1]} and minibatches of
{SAC["batch_size"]}, one environment and an update a step, in Pendulum: training as `rlx.train` runs it, beside rejax's
`jax.jit(jax.vmap(algorithm.train))`, sbx's `model.learn` with Gymnasium's environment, and the matrix products of the
updates without what stands between them. Updates are those of all members together. ACE is measured with observations
of 17 numbers and actions of 6: its update beside SAC's with the same replay, and an estimate of the weights from
10,000 transitions, with the search of the order; what it adds is said for the paper's interval of 10,000 updates.
Medians of interleaved repetitions, ratios of the same round."""


def speeds_of(members: int, settings: Settings) -> dict[str, list[float]]:
    """Updates a second of everything, and estimates a second, once a round."""
    updates = max(1, _UPDATES[settings.quick] // members)
    measures = {
        name: speed_of(program, updates, updates * members)
        for name, program in {**of_training(members), **of_ace(members)}.items()
    }
    measures[ESTIMATE] = speed_of(estimates(members), 1, members)
    case = CASES[CASES_BY_MEMBERS[members]]
    with contextlib.ExitStack() as stack:
        for peer in installed([PEERS[name] for name in case.iterations if name in PEERS]):
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            worker = stack.enter_context(started(peer, case.task(peer.name, settings.quick), cache))
            measures[peer.name] = worker.steps_per_second
        return take_turns(measures, settings.repetitions)


def row(members: int, speeds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ratios are medians over rounds, each of the same round's."""

    def ratios(ours: str, theirs: str) -> list[float]:
        return [mine / other for mine, other in zip(speeds[ours], speeds[theirs], strict=True)]

    medians = {name: statistics.median(speed) for name, speed in speeds.items()}
    cells: dict[str, Any] = {"members": members, "updates/s": medians[TRAINING]}
    for peer in PEERS:
        if peer in speeds:
            times = ratios(TRAINING, peer)
            cells |= {f"{peer}, updates/s": medians[peer], f"{peer}, rlx is x times as fast": statistics.median(times)}
            cells |= {f"{peer}, least": min(times)}
    of_update = 100 * (statistics.median(ratios(SAC_UPDATE, ACE_UPDATE)) - 1)
    of_estimates = 100 * medians[SAC_UPDATE] / (10_000 * medians[ESTIMATE])
    return cells | {
        "products alone take, ms": 1e3 / medians[PRODUCTS],
        "training takes x times that": statistics.median(ratios(PRODUCTS, TRAINING)),
        "ACE's updates add, %": of_update,
        "an estimate, ms": 1e3 / medians[ESTIMATE],
        "ACE adds in all, %": of_update + of_estimates,
    }


def of_training(members: int) -> dict[str, Program]:
    """SAC in Pendulum, and the matrix products of its updates; of the latter, members follow each other."""
    env = rlx.make_env(TASK)
    agent = rlx.make_agent("sac", env, **SAC)
    return {
        TRAINING: programs.whole(agent, env, members),
        PRODUCTS: in_turn(products(agent), members),
    }


def in_turn(program: Program, members: int) -> Program:
    """A program that does for so many members what ``program`` does for one, one after the other."""
    return lambda times: program(times * members)


def of_ace(members: int) -> dict[str, Program]:
    """Updates of SAC, and of ACE where no interval ends; members follow each other, as they do in training."""
    fields = {name: value for name, value in SAC.items() if name != "replay_size"} | {"replay_size": FILLED}
    agents = {
        SAC_UPDATE: rlx.make_agent("sac", CHEETAH, **fields),
        ACE_UPDATE: rlx.make_agent("ace", CHEETAH, interval=2**29, **fields),
    }
    alone = {name: updates(agent) for name, agent in agents.items()}
    return {name: in_turn(run, members) for name, run in alone.items()}


def updates(agent: Any) -> Program:
    """Learning events of an agent with a full replay."""
    state = filled(agent.init(jax.random.key(0)))
    rollout = jax.tree.map(lambda leaf: leaf[:1], state.replay.ring.data)
    return programs.learning(agent, state, rollout, programs.clock_of(agent))


def estimates(members: int) -> Program:
    """Estimates of the causal weights from the newest transitions, one member's after the other's."""
    agent: Any = rlx.make_agent("ace", CHEETAH, replay_size=FILLED)
    transitions = random_like(example_transition(CHEETAH), agent.window)
    part = lambda weights, key: agent.causal_weights(  # noqa: E731
        dataclasses.replace(transitions, reward=transitions.reward * (1.0 + 1e-6 * jax.random.uniform(key)))
    )
    return in_turn(programs.repeated(part, jnp.ones(CHEETAH.action_shape)), members)


def filled(state: Any) -> Any:
    """The state of a new agent whose replay is full of random transitions."""
    ring = state.replay.ring
    random = random_like(jax.tree.map(lambda leaf: leaf[0, 0], ring.data), ring.capacity, ring.num_envs)
    return state.replace(replay=state.replay.replace(ring=ring.replace(data=random)))


def random_like(example: Transition, *shape: int) -> Transition:
    """Transitions ``[*shape, ...]`` of which none ends an episode."""
    rng = np.random.default_rng(0)

    def random(leaf: jax.Array) -> jax.Array:
        whole = (*shape, *leaf.shape)
        return jnp.zeros(whole, bool) if leaf.dtype == bool else jnp.asarray(rng.random(whole), leaf.dtype)

    return jax.tree.map(random, example)


def products(agent: Any) -> Program:
    """The matrix products of an update."""
    params = agent.init(jax.random.key(0)).params
    actor, critics = (kernels_of(params[name]) for name in ("actor", "critics"))
    obs = jax.random.normal(jax.random.key(1), (agent.batch_size, *agent.spec.obs_shape))
    action = jnp.zeros((agent.batch_size, *agent.spec.action_shape))

    def part(carry: PyTree, key: Key) -> PyTree:
        # New observations, so that XLA does not do every turn at once.
        return all_products(actor, critics, obs * (1.0 + 1e-6 * jax.random.uniform(key)), action)

    shapes = jax.eval_shape(all_products, actor, critics, obs, action)
    return programs.repeated(part, jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes))


def all_products(actor: PyTree, critics: PyTree, obs: jax.Array, action: jax.Array) -> PyTree:
    """What SAC multiplies, sizes and all.

    Policy and targets at the next observation; critics forwards and back; and policy and critics forwards and back to
    the policy's parameters.
    """
    size = action.shape[-1]
    act = lambda actor: chained(actor, obs)[..., :size]  # noqa: E731
    value = lambda critics, action: jax.vmap(  # noqa: E731
        lambda kernels: chained(kernels, jnp.concatenate([obs, action], axis=-1))
    )(critics)
    target = value(critics, act(actor))
    q_value, to_critics = jax.vjp(lambda critics: value(critics, action), critics)
    improved, to_actor = jax.vjp(lambda actor: value(critics, act(actor)), actor)
    return target, to_critics(q_value), to_actor(improved)


def kernels_of(params: PyTree) -> list[jax.Array]:
    """The weights of a network's layers, those of several heads side by side."""
    layers = dict(params["params"])
    torso = layers.pop("torso")
    hidden = [torso[name]["kernel"] for name in sorted(torso)]
    return [*hidden, jnp.concatenate([layers[name]["kernel"] for name in sorted(layers)], axis=-1)]


def chained(kernels: Sequence[jax.Array], x: jax.Array) -> jax.Array:
    """What the layers make of ``x`` without biases and activations."""
    for kernel in kernels:
        x = x @ kernel
    return x
