"""rlx as ``benchmark.py speed`` measures it: the programs that ``rlx.train`` runs, without evaluation, logs and saves.

A checkout that is measured beside another one runs its own copy of this file, and of ``protocol.py``.
"""

from collections.abc import Callable
from typing import Any

import jax
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
    made = population.Population(population.members_of([agent], range(members)), env)
    states = made.start(Clock.start(_ENDLESS, agent.needs.num_envs * agent.needs.rollout_length))
    made.compile(states)

    def advance(iterations: int) -> None:
        nonlocal states
        states, healthy, _ = made.advance(states, iterations, new_window=True)
        jax.block_until_ready(healthy)

    return advance


if __name__ == "__main__":
    serve(build, ("rlx", "jax", "gymnax"))
