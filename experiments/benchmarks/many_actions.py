"""What a learning event of MBMA spends its time on beside one of PPO, for ``benchmark.py many_actions``."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import rlx
from benchmarks import programs
from benchmarks.cases import MBMA
from benchmarks.report import Report, Settings
from benchmarks.turns import Program, median_seconds
from rlx.envs.api import Env
from rlx.types import Key, PyTree

SOURCES = ("none", "model", "states", "critic", "simulator")
_EVENTS = {True: 1, False: 5}  # in a repetition, quick or not


def measure(settings: Settings) -> Report:
    """Time learning events of all sources of extra samples, and the parts of one with a model, taking turns."""
    return split(settings.repetitions, _EVENTS[settings.quick])


def split(repetitions: int, events: int, **changes: Any) -> Report:
    """Time ``events`` learning events a repetition; ``changes`` are hyperparameters beside those of the case."""
    env = rlx.make_env("gymnax/Pendulum-v1")
    agents: dict[str, Any] = {
        source: rlx.make_agent("mbma", env, source=source, **(MBMA | changes)) for source in SOURCES
    }
    timed = partial_programs(agents["model"], env)
    timed |= {source: programs.whole(agent, env) for source, agent in agents.items()}
    seconds = {name: each / events for name, each in median_seconds(timed, events, repetitions).items()}
    return Report("many_actions", "What extra samples cost", description(agents["model"], seconds), rows(seconds))


def description(agent: Any, seconds: Mapping[str, float]) -> str:
    """How many times as long as one of PPO the learning events take."""
    ratios = ", ".join(f"{seconds[source] / seconds['none']:.1f} ({source})" for source in SOURCES if source != "none")
    return (
        f"{agent.num_envs} x {agent.rollout_length} transitions of Pendulum, {agent.num_extras} extra samples of "
        f"rollouts of {agent.horizon} steps, {agent.model_updates} updates of the model. A learning event of PPO takes "
        f"{1e3 * seconds['none']:.3g} ms; times as long take those with extra samples: {ratios}. The policy epochs "
        f"alone take {seconds['epochs'] / seconds['plain epochs']:.1f} times as long as without extra samples."
    )


def rows(seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parts of a learning event with a model."""
    parts = {
        "collect": seconds["collect"],
        "values and advantages": seconds["batch"],
        "model fit": seconds["fit"],
        "imagination": seconds["draw"],
        "policy epochs": seconds["epochs"],
    }
    total = seconds["model"]
    parts |= {"the rest": total - sum(parts.values()), "a learning event": total}
    return [{"part": name, "ms": 1e3 * part, "share, %": 100 * part / total} for name, part in parts.items()]


def partial_programs(agent: Any, env: Env) -> dict[str, Program]:
    """Programs that do one part of a learning event each."""
    state = programs.start(agent, env)
    horizon = jnp.int32(agent.horizon)
    collecting, collected = programs.collecting(agent, env, state)
    rollout = collected[-1]
    batch = jax.jit(agent.make_batch)(state.agent, rollout)
    source, around = agent.extra_source(), agent.actor_critic(state.agent)
    draw = lambda key: source.draw(state.agent.source, around, rollout, batch, key, horizon)  # noqa: E731
    extras = jax.jit(draw)(jax.random.key(2))

    def batching(_: PyTree, key: Key) -> PyTree:
        # New observations, so that XLA does not do every turn at once.
        change = 1e-6 * jax.random.uniform(key)
        nudged = dataclasses.replace(rollout, obs=rollout.obs + change, next_obs=rollout.next_obs + change)
        return agent.make_batch(state.agent, nudged)

    def fitting(carry: PyTree, key: Key) -> PyTree:
        return source.fit(carry, rollout, batch, key, state.clock.advance())[0]

    def drawing(_: PyTree, key: Key) -> PyTree:
        return draw(key)

    learned = (state.agent.params, state.agent.opt_state)
    return {
        "collect": programs.repeated(collecting, collected),
        "batch": programs.repeated(batching, batch),
        "fit": programs.repeated(fitting, state.agent.source),
        "draw": programs.repeated(drawing, extras),
        "epochs": programs.repeated(policy_epochs(agent, (batch, extras), jnp.ones(agent.num_extras)), learned),
        "plain epochs": programs.repeated(policy_epochs(agent, (batch, None), jnp.zeros(0)), learned),
    }


def policy_epochs(agent: Any, samples: PyTree, weights: jax.Array) -> programs.Part:
    """The epochs on real and extra samples, the latter with ``weights``."""
    loss = lambda params, minibatch: agent.loss(params, *minibatch, weights)  # noqa: E731
    return programs.epochs(agent, loss, agent.optimiser, samples)
