"""What an iteration of PPO spends its time on, by timing partial programs that differ in one part."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import rlx
from rlx.agents.ppo import minibatch_epochs
from rlx.envs import vector
from rlx.envs.api import Env
from rlx.ops.optimisers import Optimiser
from rlx.runner import loop, population
from rlx.runner.collect import collect
from rlx.runner.run import CHUNK_SECONDS
from rlx.types import Clock, Key, Metrics, PyTree

# Does something a number of times and waits for it.
Program = Callable[[int], Any]

_ENDLESS = 2**31 - 1
_LARGE = 1024


def breakdown(hyperparameters: dict[str, Any], repetitions: int, iterations: int) -> tuple[str, list[dict[str, Any]]]:
    """Time PPO and its parts on CartPole-v1, one member, taking turns.

    Args:
        hyperparameters: of the agent.
        repetitions: of each program; the medians count.
        iterations: learning events in a repetition.

    Returns:
        What limits it, and a row for each part with its time in an iteration.
    """
    env = rlx.make_env("gymnax/CartPole-v1")
    agent: Any = rlx.make_agent("ppo", env, **hyperparameters)
    programs = {"iteration": whole(agent, env), "matrix product": matrix_product(), **partial_programs(agent, env)}
    seconds = {name: each / iterations for name, each in take_turns(programs, iterations, repetitions).items()}
    dispatch = take_turns({"": programs["iteration"]}, 0, repetitions)[""]
    # Training dispatches one chunk every CHUNK_SECONDS.
    seconds["dispatch"] = dispatch * seconds["iteration"] / CHUNK_SECONDS

    operations = matrix_operations(agent)
    rate = 2 * _LARGE**3 / seconds["matrix product"]
    text = (
        f"PPO with {agent.num_envs} x {agent.rollout_length} transitions an iteration and {agent.num_epochs} x "
        f"{agent.num_minibatches} minibatches takes {1e3 * seconds['iteration']:.3g} ms. Its matrix products, "
        f"{operations / 1e6:.0f} MFLOP, would take {1e3 * operations / rate:.3g} ms at the {rate / 1e9:.0f} GFLOP/s of "
        f"a product of two {_LARGE} x {_LARGE} matrices; the rest is activations and many small operations.\n"
    )
    return text, rows(seconds)


def rows(seconds: dict[str, float]) -> list[dict[str, Any]]:
    """The parts of an iteration, from the seconds of the programs that hold them."""
    parts = {
        "environment steps": seconds["environment"],
        "acting and keeping transitions": seconds["collect"] - seconds["environment"],
        "values and advantages": seconds["batch"],
        "shuffling and gathering": seconds["gather"],
        "losses and gradients": seconds["epochs"] - seconds["gather"] - seconds["optimiser"],
        "clipping and Adam": seconds["optimiser"],
        "dispatch": seconds["dispatch"],
    }
    parts["the rest"] = seconds["iteration"] - sum(parts.values())
    parts["an iteration"] = seconds["iteration"]
    return [
        {"part": name, "ms": 1e3 * part, "share, %": 100 * part / seconds["iteration"]} for name, part in parts.items()
    ]


def partial_programs(agent: Any, env: Env) -> dict[str, Program]:
    """Programs that do parts of an iteration; the key, new in each turn, keeps XLA from doing a turn only once."""
    state = jax.jit(lambda key: loop.init(agent, env, key, Clock.start(_ENDLESS)))(jax.random.key(0))
    around = (state.env, state.timestep, state.statistics)

    def collecting(carry: PyTree, key: Key) -> PyTree:
        env_state, timestep, episodes = carry[0:3]
        return collect(agent, env, state.agent, env_state, timestep, episodes, key, state.clock)

    def stepping(carry: PyTree, key: Key) -> PyTree:
        def step(carry: PyTree, key: Key) -> tuple[PyTree, None]:
            env_state, timestep = carry
            return vector.step(env, env_state, timestep.episode_step % 2, key), None

        return jax.lax.scan(step, carry, jax.random.split(key, agent.rollout_length))[0]

    *_, rollout = jax.jit(collecting)(around, jax.random.key(1))
    batch = jax.jit(agent.make_batch)(state.agent, rollout)

    def batching(_: PyTree, key: Key) -> PyTree:
        nudged = jax.tree.map(lambda weight: weight + 1e-6 * jax.random.uniform(key), state.agent.params)
        return agent.make_batch(dataclasses.replace(state.agent, params=nudged), rollout)

    def passes(loss: Any, optimiser: Optimiser) -> Callable[[PyTree, Key], PyTree]:
        def learning(carry: PyTree, key: Key) -> PyTree:
            params, opt_state = carry
            epochs, minibatches = agent.num_epochs, agent.num_minibatches
            return minibatch_epochs(
                loss, optimiser, agent.learning_rate, params, opt_state, batch, key, epochs, minibatches
            )[:2]

        return learning

    def touching(weight: jax.Array, minibatch: PyTree) -> tuple[jax.Array, Metrics]:
        return weight * sum(leaf.sum() for leaf in jax.tree.leaves(minibatch)), {}

    adding = Optimiser(init=lambda weight: (), step=lambda grad, state, weight, rate: (weight + grad, state))

    def optimising(carry: PyTree, _: Key) -> PyTree:
        step = lambda _, carry: agent.optimiser.step(carry[0], carry[1], carry[0], agent.learning_rate)  # noqa: E731
        return jax.lax.fori_loop(0, agent.num_epochs * agent.num_minibatches, step, carry)

    learned = (state.agent.params, state.agent.opt_state)
    return {
        "environment": repeated(stepping, around[0:2]),
        "collect": repeated(collecting, (*around, rollout)),
        "batch": repeated(batching, batch),
        "gather": repeated(passes(touching, adding), (jnp.zeros(()), ())),
        "optimiser": repeated(optimising, learned),
        "epochs": repeated(passes(agent.loss, agent.optimiser), learned),
    }


def whole(agent: Any, env: Env) -> Program:
    """The training program itself."""
    mesh = population.mesh_for(1)
    agents = population.place(population.stack([agent]), mesh)
    programs = population.programs(env, mesh, eval_episodes=1, mode="greedy")
    state = programs.init(agents, population.keys_for([0], population.INIT_STREAM), Clock.start(_ENDLESS))

    def run(times: int) -> None:
        nonlocal state
        state, healthy, _ = programs.chunk(agents, state, jnp.int32(times), jnp.bool_(True))
        jax.block_until_ready(healthy)

    return run


def matrix_product() -> Program:
    """One product of large square matrices, for scale."""
    matrix = jnp.full((_LARGE, _LARGE), 1.0 / _LARGE)
    return repeated(lambda x, key: x @ matrix, matrix)


def repeated(body: Callable[[PyTree, Key], PyTree], carry: PyTree) -> Program:
    """A program that puts ``carry`` through ``body`` a number of times, with a new key each time."""

    def run(carry: PyTree, times: jax.Array) -> PyTree:
        keyed = lambda i, carry: body(carry, jax.random.fold_in(jax.random.key(2), i))  # noqa: E731
        return jax.lax.fori_loop(0, times, keyed, carry)

    program = jax.jit(run, compiler_options=population.compiler_options(jax.default_backend()))
    return lambda times: jax.block_until_ready(program(carry, jnp.int32(times)))


def take_turns(programs: dict[str, Program], times: int, repetitions: int) -> dict[str, float]:
    """Median seconds of each program; the first round, which compiles, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repetitions + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            program(times)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def matrix_operations(agent: Any) -> int:
    """Floating-point operations of an iteration's matrix products: 2 a weight and row forward, 4 backward."""
    params = jax.eval_shape(agent.init, jax.random.key(0)).params
    weights = {net: sum(leaf.size for leaf in jax.tree.leaves(params[net]) if leaf.ndim == 2) for net in params}
    transitions = agent.num_envs * agent.rollout_length
    acting, values = 2 * weights["actor"], 2 * 2 * weights["critic"]
    return transitions * (acting + values + agent.num_epochs * 6 * sum(weights.values()))
