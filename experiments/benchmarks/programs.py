"""Programs that do one part of an agent's training, for timing: all that benchmarks know of the loop's inside."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.turns import Program
from rlx.agents.ppo import minibatch_epochs
from rlx.envs.api import Env
from rlx.ops.optimisers import Optimiser
from rlx.runner import loop, population
from rlx.runner.collect import collect
from rlx.types import Clock, Key, PyTree

# A part of training: from what the last one returned and a new key to the next.
Part = Callable[[PyTree, Key], PyTree]

_ENDLESS = 2**30  # environment steps


def whole(agent: Any, env: Env) -> Program:
    """The training program itself, with one member."""
    mesh = population.mesh_for(1)
    agents = population.place(population.stack([agent]), mesh)
    programs = population.programs(env, mesh, eval_episodes=1, mode="greedy")
    state = programs.init(agents, population.keys_for([0], population.INIT_STREAM), Clock.start(_ENDLESS))

    def run(times: int) -> None:
        nonlocal state
        state, healthy, _ = programs.chunk(agents, state, jnp.int32(times), jnp.bool_(True))
        jax.block_until_ready(healthy)

    return run


def repeated(part: Part, carry: PyTree) -> Program:
    """A program that puts ``carry`` through ``part`` a number of times; new keys keep XLA from doing it only once."""

    def run(carry: PyTree, times: jax.Array) -> PyTree:
        keyed = lambda i, carry: part(carry, jax.random.fold_in(jax.random.key(2), i))  # noqa: E731
        return jax.lax.fori_loop(0, times, keyed, carry)

    program = jax.jit(run, compiler_options=population.compiler_options(jax.default_backend()))
    return lambda times: jax.block_until_ready(program(carry, jnp.int32(times)))


def start(agent: Any, env: Env) -> loop.RunState:
    """The state of a run that begins."""
    return jax.jit(lambda key: loop.init(agent, env, key, Clock.start(_ENDLESS)))(jax.random.key(0))


def collecting(agent: Any, env: Env, state: loop.RunState) -> tuple[Part, PyTree]:
    """The part that collects a rollout with the agent of ``state``, and a carry for it that ends with a rollout."""

    def part(carry: PyTree, key: Key) -> PyTree:
        env_state, timestep, episodes = carry[0:3]
        return collect(agent, env, state.agent, env_state, timestep, episodes, key, state.clock)

    return part, jax.jit(part)((state.env, state.timestep, state.statistics), jax.random.key(1))


def epochs(agent: Any, loss: Any, optimiser: Optimiser, samples: PyTree) -> Part:
    """The part that goes through minibatches of ``samples``; it carries parameters and optimiser state."""

    def part(carry: PyTree, key: Key) -> PyTree:
        params, opt_state = carry
        passes, minibatches = agent.num_epochs, agent.num_minibatches
        return minibatch_epochs(
            loss, optimiser, agent.learning_rate, params, opt_state, samples, key, passes, minibatches
        )[:2]

    return part
