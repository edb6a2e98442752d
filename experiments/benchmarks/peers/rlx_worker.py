"""rlx as ``benchmark.py speed`` measures it: the programs that ``rlx.train`` runs, without evaluation, logs and saves.

A checkout that is measured beside another one runs its own copy of this file, and of ``protocol.py``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from protocol import Compile, Repeat, serve

import rlx
from rlx.envs.api import Env
from rlx.runner import population
from rlx.types import Agent, Clock

_ENDLESS = 2**31 - 1


def build(task: dict[str, Any]) -> Compile:
    """Make agent and environment; a repetition is one more chunk of the population's run."""
    env = rlx.make_env(task["env"])
    agent = rlx.make_agent(task["algorithm"], env, **task["hyperparameters"])

    def compile_programs() -> Repeat:
        advance = chunks(agent, env, task["members"])
        return lambda: advance(task["iterations"])

    return compile_programs


def chunks(agent: Agent, env: Env, members: int) -> Callable[[int], None]:
    """Compile a population's programs; what is returned does a number of learning events and waits for them.

    This alone follows the population when its programs change.
    """
    mesh = population.mesh_for(members)
    programs = population.programs(env, mesh, eval_episodes=1, mode="greedy")
    agents = population.place(population.stack([agent] * members), mesh)
    state = programs.init(agents, population.keys_for(range(members), population.INIT_STREAM), Clock.start(_ENDLESS))
    chunk = programs.chunk.lower(agents, state, jnp.int32(1), jnp.bool_(True)).compile()

    def advance(iterations: int) -> None:
        nonlocal state
        state, healthy, _ = chunk(agents, state, jnp.int32(iterations), jnp.bool_(True))
        jax.block_until_ready(healthy)

    return advance


if __name__ == "__main__":
    serve(build, ("rlx", "jax", "gymnax"))
