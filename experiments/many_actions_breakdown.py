"""What a learning event of MBMA spends its time on beside one of PPO, for ``benchmark.py many_actions=true``."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from breakdown import Program, repeated, take_turns, whole

import rlx
from rlx.agents.ppo import minibatch_epochs
from rlx.envs.api import Env
from rlx.runner import loop
from rlx.runner.collect import collect
from rlx.types import Clock, Key, PyTree

# Those of the table mbma/pendulum, with all extra samples from the first learning event on.
SETTINGS: dict[str, Any] = {
    "num_envs": 8,
    "rollout_length": 256,
    "num_epochs": 10,
    "num_minibatches": 32,
    "activation": "leaky_relu",
    "squash_mean": True,
    "extras_start": 0,
    "extras_growth": 0.0,
    "first_fit": 1,
}
_ENDLESS = 2**30


def split(repetitions: int, events: int, **settings: Any) -> tuple[str, list[dict[str, Any]]]:
    """Time learning events of all sources of extra samples, and the parts of one with a model, taking turns.

    Args:
        repetitions: of each program; the medians count.
        events: in a repetition.
        **settings: of the agent, beside ``SETTINGS``.

    Returns:
        Ratios in words, and a row for each part with its time in an event.
    """
    env = rlx.make_env("gymnax/Pendulum-v1")
    agents = {
        source: rlx.make_agent("mbma", env, source=source, **(SETTINGS | settings))
        for source in ("none", "model", "states", "critic", "simulator")
    }
    programs = partial_programs(agents["model"], env)
    programs |= {source: whole(agent, env) for source, agent in agents.items()}
    seconds = {name: each / events for name, each in take_turns(programs, events, repetitions).items()}
    parts = {
        "collect": seconds["collect"],
        "values and advantages": seconds["batch"],
        "model fit": seconds["fit"],
        "imagination": seconds["draw"],
        "policy epochs": seconds["epochs"],
    }
    ratios = ", ".join(f"{seconds[source] / seconds['none']:.1f} ({source})" for source in agents if source != "none")
    agent: Any = agents["model"]
    text = (
        f"{agent.num_envs} x {agent.rollout_length} transitions of Pendulum, {agent.num_extras} extra samples of "
        f"rollouts of {agent.horizon} steps, {agent.model_updates} updates of the model. A learning event of PPO takes "
        f"{1e3 * seconds['none']:.3g} ms; times as long take those with extra samples: {ratios}. The policy epochs "
        f"alone take {seconds['epochs'] / seconds['plain epochs']:.1f} times as long as without extra samples.\n"
    )
    total = seconds["model"]
    parts |= {"the rest": total - sum(parts.values()), "a learning event": total}
    return text, [{"part": name, "ms": 1e3 * part, "share, %": 100 * part / total} for name, part in parts.items()]


def partial_programs(agent: Any, env: Env) -> dict[str, Program]:
    """Programs that do one part of a learning event each."""
    state = jax.jit(lambda key: loop.init(agent, env, key, Clock.start(_ENDLESS)))(jax.random.key(0))
    horizon = jnp.int32(agent.horizon)

    def collecting(carry: PyTree, key: Key) -> PyTree:
        env_state, timestep, episodes = carry[0:3]
        return collect(agent, env, state.agent, env_state, timestep, episodes, key, state.clock)

    *around, rollout = jax.jit(collecting)((state.env, state.timestep, state.statistics), jax.random.key(1))
    batch = jax.jit(agent.make_batch)(state.agent, rollout)
    extras = jax.jit(agent.draw)(state.agent, rollout, batch, jax.random.key(2), horizon)

    def batching(_: PyTree, key: Key) -> PyTree:
        # New observations, so that XLA does not do every turn at once.
        change = 1e-6 * jax.random.uniform(key)
        nudged = dataclasses.replace(rollout, obs=rollout.obs + change, next_obs=rollout.next_obs + change)
        return agent.make_batch(state.agent, nudged)

    def fitting(carry: PyTree, key: Key) -> PyTree:
        return agent.fit_model(carry, rollout, key, state.clock)[0]

    def drawing(_: PyTree, key: Key) -> PyTree:
        return agent.draw(state.agent, rollout, batch, key, horizon)

    def learning(samples: PyTree, weights: jax.Array) -> Program:
        def epochs(carry: PyTree, key: Key) -> PyTree:
            loss = lambda params, minibatch: agent.loss(params, *minibatch, weights)  # noqa: E731
            params, opt_state = carry
            epochs, minibatches = agent.num_epochs, agent.num_minibatches
            return minibatch_epochs(
                loss, agent.optimiser, agent.learning_rate, params, opt_state, samples, key, epochs, minibatches
            )[:2]

        return repeated(epochs, (state.agent.params, state.agent.opt_state))

    return {
        "collect": repeated(collecting, (*around, rollout)),
        "batch": repeated(batching, batch),
        "fit": repeated(fitting, state.agent),
        "draw": repeated(drawing, extras),
        "epochs": learning((batch, extras), jnp.ones(agent.num_extras)),
        "plain epochs": learning((batch, None), jnp.zeros(0)),
    }
