"""rlx as ``benchmark.py`` measures it: the programs that ``rlx.train`` runs, without evaluation, logs and saves."""

from typing import Any

import jax
import jax.numpy as jnp
from protocol import Compile, Repeat, serve

import rlx
from rlx.runner import population
from rlx.types import Clock

_ENDLESS = 2**31 - 1


def build(task: dict[str, Any]) -> Compile:
    """Make the population; a repetition is one more chunk of its run."""
    env = rlx.make_env("gymnax/CartPole-v1")
    agent = rlx.make_agent(task["algorithm"], env, **task["hyperparameters"])
    seeds = range(task["seeds"])
    mesh = population.mesh_for(len(seeds))
    programs = population.programs(env, mesh, eval_episodes=1, mode="greedy")

    def compile_programs() -> Repeat:
        agents = population.place(population.stack([agent] * len(seeds)), mesh)
        keys = population.keys_for(seeds, population.INIT_STREAM)
        state = programs.init(agents, keys, Clock.start(_ENDLESS))
        chunk = programs.chunk.lower(agents, state, jnp.int32(1), jnp.bool_(True)).compile()

        def repeat() -> None:
            nonlocal state
            state, healthy, _ = chunk(agents, state, jnp.int32(task["iterations"]), jnp.bool_(True))
            jax.block_until_ready(healthy)

        return repeat

    return compile_programs


if __name__ == "__main__":
    serve(build, ("rlx", "jax", "gymnax"))
