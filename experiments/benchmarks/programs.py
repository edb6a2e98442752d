"""Programs that do one part of an agent's training, for timing: all that benchmarks know of the loop's inside."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.turns import Program
from rlx.envs.api import Env
from rlx.learning.on_policy import minibatch_epochs
from rlx.ops.optimisers import Optimiser
from rlx.runner import loop, population
from rlx.runner.collect import collect
from rlx.runner.layout import layout_for
from rlx.runner.programs import compiler_options
from rlx.types import Clock, Key, PyTree, Transition

# A part of training: from what the last one returned and a new key to the next.
Part = Callable[[PyTree, Key], PyTree]

_ENDLESS = 2**30  # environment steps


def whole(agent: Any, env: Env, members: int = 1, side_by_side: int | None = None) -> Program:
    """The training program itself; ``side_by_side`` is that of `layout.layout_for`."""
    layout = layout_for(members, side_by_side=side_by_side)
    trained = population.Population(population.members_of([agent], range(members)), env, layout=layout)
    states = trained.start(clock_of(agent))

    def run(times: int) -> None:
        nonlocal states
        states, healthy, _ = trained.advance(states, times, new_window=True)
        jax.block_until_ready(healthy)

    return run


def clock_of(agent: Any) -> Clock:
    """The clock of a run that begins and hardly ever ends."""
    return Clock.start(_ENDLESS, agent.needs.num_envs * agent.needs.rollout_length)


def repeated(part: Part, carry: PyTree) -> Program:
    """A program that puts ``carry`` through ``part`` a number of times; new keys keep XLA from doing it only once."""

    def run(carry: PyTree, times: jax.Array) -> PyTree:
        keyed = lambda i, carry: part(carry, jax.random.fold_in(jax.random.key(2), i))  # noqa: E731
        return jax.lax.fori_loop(0, times, keyed, carry)

    program = jax.jit(run, compiler_options=compiler_options(jax.default_backend()))
    return lambda times: jax.block_until_ready(program(carry, jnp.int32(times)))


def learning(agent: Any, state: PyTree, rollout: Transition, clock: Clock) -> Program:
    """A program that puts an agent's state through its ``update`` a number of times, always on the same rollout.

    In the form of training: the state is donated, and its one member has an axis, but the clock does not.
    """
    update = jax.vmap(lambda agent, *given: agent.update(*given)[0], (0, 0, 0, 0, None))

    def run(state: PyTree, agents: Any, rollouts: PyTree, clock: Clock, times: jax.Array) -> tuple[PyTree, Clock]:
        def event(_: jax.Array, carry: tuple[PyTree, Clock]) -> tuple[PyTree, Clock]:
            state, clock = carry[0], carry[1].advance()
            key = jax.random.fold_in(jax.random.key(2), clock.iterations)
            return update(agents, state, rollouts, key[None], clock), clock

        return jax.lax.fori_loop(0, times, event, (state, clock))

    program = jax.jit(run, donate_argnums=0, compiler_options=compiler_options(jax.default_backend()))
    agents, state, rollouts = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (agent, state, rollout))

    def learn(times: int) -> None:
        nonlocal state, clock
        state, clock = jax.block_until_ready(program(state, agents, rollouts, clock, jnp.int32(times)))

    return learn


def start(agent: Any, env: Env) -> loop.RunState:
    """The state of a run that begins."""
    return jax.jit(lambda key: loop.init(agent, env, key, clock_of(agent)))(jax.random.key(0))


def collecting(agent: Any, env: Env, state: loop.RunState) -> tuple[Part, PyTree]:
    """The part that collects a rollout with the agent of ``state``, and a carry for it that ends with a rollout."""

    def part(carry: PyTree, key: Key) -> PyTree:
        return collect(agent, env, state.agent, carry[0], key, state.clock)

    return part, jax.jit(part)((state.scene,), jax.random.key(1))


def epochs(agent: Any, loss: Any, optimiser: Optimiser, samples: PyTree) -> Part:
    """The part that goes through minibatches of ``samples``; it carries parameters and optimiser state."""

    def part(carry: PyTree, key: Key) -> PyTree:
        passes, minibatches = agent.num_epochs, agent.num_minibatches
        return minibatch_epochs(loss, optimiser, agent.learning_rate, carry, samples, key, passes, minibatches)[0]

    return part
