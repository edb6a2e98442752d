"""What an iteration of PPO spends its time on, by timing partial programs that differ in one part."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import rlx
from benchmarks import programs
from benchmarks.cases import PPO_64X64
from benchmarks.report import Report, Settings
from benchmarks.turns import Program, median_seconds
from rlx.envs import vector
from rlx.envs.api import Env
from rlx.ops.optimisers import Optimiser
from rlx.runner.run import CHUNK_SECONDS
from rlx.types import Key, PyTree

_LARGE = 1024
_ITERATIONS = {True: 4, False: 40}  # in a repetition, quick or not


def measure(settings: Settings) -> Report:
    """Time PPO and its parts on CartPole-v1, one member, taking turns."""
    env = rlx.make_env("gymnax/CartPole-v1")
    agent: Any = rlx.make_agent("ppo", env, **PPO_64X64)
    seconds = seconds_of_parts(agent, env, settings.repetitions, _ITERATIONS[settings.quick])
    operations = matrix_operations(agent)
    rate = 2 * _LARGE**3 / seconds["matrix product"]
    text = (
        f"PPO with {agent.num_envs} x {agent.rollout_length} transitions an iteration and {agent.num_epochs} x "
        f"{agent.num_minibatches} minibatches takes {1e3 * seconds['iteration']:.3g} ms. Its matrix products, "
        f"{operations / 1e6:.0f} MFLOP, would take {1e3 * operations / rate:.3g} ms at the {rate / 1e9:.0f} GFLOP/s of "
        f"a product of two {_LARGE} x {_LARGE} matrices; the rest is activations and many small operations."
    )
    return Report("breakdown", "What limits PPO", text, rows(seconds))


def seconds_of_parts(agent: Any, env: Env, repetitions: int, iterations: int) -> dict[str, float]:
    """Median seconds of an iteration and of each partial program, for one iteration."""
    whole = programs.whole(agent, env)
    timed = {"iteration": whole, "matrix product": matrix_product(), **partial_programs(agent, env)}
    seconds = {name: each / iterations for name, each in median_seconds(timed, iterations, repetitions).items()}
    dispatch = median_seconds({"": whole}, 0, repetitions)[""]
    # Training dispatches one chunk every CHUNK_SECONDS.
    return seconds | {"dispatch": dispatch * seconds["iteration"] / CHUNK_SECONDS}


def rows(seconds: Mapping[str, float]) -> list[dict[str, Any]]:
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
    """Programs that do parts of an iteration."""
    state = programs.start(agent, env)
    collecting, collected = programs.collecting(agent, env, state)
    rollout = collected[-1]
    batch = jax.jit(agent.make_batch)(state.agent, rollout)

    def stepping(carry: PyTree, key: Key) -> PyTree:
        def step(carry: PyTree, key: Key) -> tuple[PyTree, None]:
            env_state, timestep = carry
            return vector.step(env, env_state, timestep.episode_step % 2, key), None

        return jax.lax.scan(step, carry, jax.random.split(key, agent.rollout_length))[0]

    def batching(_: PyTree, key: Key) -> PyTree:
        nudged = jax.tree.map(lambda weight: weight + 1e-6 * jax.random.uniform(key), state.agent.params)
        return agent.make_batch(dataclasses.replace(state.agent, params=nudged), rollout)

    return {
        "environment": programs.repeated(stepping, (state.scene.env, state.scene.timestep)),
        "collect": programs.repeated(collecting, collected),
        "batch": programs.repeated(batching, batch),
        **learning_programs(agent, (state.agent.params, state.agent.opt_state), batch),
    }


def learning_programs(agent: Any, learned: PyTree, batch: PyTree) -> dict[str, Program]:
    """Programs that do parts of the epochs on ``batch``, from parameters and optimiser state."""

    def touching(weight: jax.Array, minibatch: PyTree) -> tuple[jax.Array, dict[str, jax.Array]]:
        return weight * sum(leaf.sum() for leaf in jax.tree.leaves(minibatch)), {}

    adding = Optimiser(init=lambda weight: (), step=lambda grad, state, weight, rate: (weight + grad, state))

    def optimising(carry: PyTree, _: Key) -> PyTree:
        step = lambda _, carry: agent.optimiser.step(carry[0], carry[1], carry[0], agent.learning_rate)  # noqa: E731
        return jax.lax.fori_loop(0, agent.num_epochs * agent.num_minibatches, step, carry)

    return {
        "gather": programs.repeated(programs.epochs(agent, touching, adding, batch), (jnp.zeros(()), ())),
        "optimiser": programs.repeated(optimising, learned),
        "epochs": programs.repeated(programs.epochs(agent, agent.loss, agent.optimiser, batch), learned),
    }


def matrix_product() -> Program:
    """One product of large square matrices, for scale."""
    matrix = jnp.full((_LARGE, _LARGE), 1.0 / _LARGE)
    return programs.repeated(lambda x, key: x @ matrix, matrix)


def matrix_operations(agent: Any) -> int:
    """Floating-point operations of an iteration's matrix products: 2 a weight and row forward, 4 backward."""
    params = jax.eval_shape(agent.init, jax.random.key(0)).params
    weights = {net: sum(leaf.size for leaf in jax.tree.leaves(params[net]) if leaf.ndim == 2) for net in params}
    transitions = agent.num_envs * agent.rollout_length
    acting, values = 2 * weights["actor"], 2 * 2 * weights["critic"]
    return transitions * (acting + values + agent.num_epochs * 6 * sum(weights.values()))
