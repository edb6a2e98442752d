"""The training loop: the only one, for every agent.

``RunState`` is the whole run in one pytree. Its leaves have a leading member axis ``[M]``, except the clock, which
all members share: an agent's periodic branches therefore stay branches under ``vmap``.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs import vector
from rlx.envs.api import Env
from rlx.runner.collect import EpisodeStatistics, collect
from rlx.types import Agent, Clock, Key, Metrics, PyTree, Timestep


@struct.dataclass
class RunState:
    """Everything a run is made of; checkpoints, donation and sharding treat it as a whole.

    Attributes:
        agent: the agent's state, its replay included.
        env: state of the member's environments.
        timestep: what the agent acts on next.
        statistics: episodes of the current logging window.
        metrics: sums over the gradient updates of the current logging window; ``"updates"`` is their number.
        key: the key that all later randomness of this member comes from.
        clock: counters shared by all members.
    """

    agent: PyTree
    env: vector.VectorState
    timestep: Timestep
    statistics: EpisodeStatistics
    metrics: Metrics
    key: Key
    clock: Clock


# Which leaves of a RunState have a member axis: a prefix for vmap (see `population` for the sharded form).
MEMBER_AXES = RunState(agent=0, env=0, timestep=0, statistics=0, metrics=0, key=0, clock=None)  # type: ignore[arg-type]


def init(agent: Agent, env: Env, key: Key, clock: Clock) -> RunState:
    """The state of one member before its first step."""
    agent_key, env_key, run_key = jax.random.split(key, 3)
    env_state, timestep = vector.reset(env, env_key, agent.num_envs)
    state = RunState(
        agent=agent.init(agent_key),
        env=env_state,
        timestep=timestep,
        statistics=EpisodeStatistics.zeros(agent.num_envs),
        metrics={},
        key=run_key,
        clock=clock,
    )
    _, metrics = jax.eval_shape(lambda state: _collect_and_update(agent, env, state), state)
    return dataclasses.replace(state, metrics=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics))


def iterate(agent: Agent, env: Env, state: RunState) -> RunState:
    """One iteration of one member: collect a rollout, learn from it. The clock stays where it is."""
    state, metrics = _collect_and_update(agent, env, state)
    updates = metrics["updates"]
    weighted = {name: jnp.where(updates > 0, value * updates, 0.0) for name, value in metrics.items()}
    weighted["updates"] = updates
    return dataclasses.replace(state, metrics=jax.tree.map(jnp.add, state.metrics, weighted))


def chunk(agents: Agent, env: Env, state: RunState, iterations: jax.Array, new_window: jax.Array) -> RunState:
    """Advance all members by ``iterations`` iterations.

    Args:
        agents: hyperparameters, leaves ``[M]``.
        env: the environment.
        state: leaves ``[M, ...]``.
        iterations: int32 scalar, traced: chunks of any length share one program.
        new_window: bool scalar, whether to restart the sums of the logging window first.
    """
    restarted = (jax.vmap(EpisodeStatistics.restart)(state.statistics), jax.tree.map(jnp.zeros_like, state.metrics))
    statistics, metrics = jax.tree.map(
        lambda new, old: jnp.where(new_window, new, old), restarted, (state.statistics, state.metrics)
    )
    state = dataclasses.replace(state, statistics=statistics, metrics=metrics)
    members = jax.vmap(lambda agent, state: iterate(agent, env, state), (0, MEMBER_AXES), MEMBER_AXES)
    steps = agents.num_envs * agents.rollout_length

    def body(_: jax.Array, state: RunState) -> RunState:
        return dataclasses.replace(members(agents, state), clock=state.clock.advance(steps))

    return jax.lax.fori_loop(0, iterations, body, state)


def window(state: RunState) -> Metrics:
    """What the logging window holds, one value a member ``[M]``; NaN where it holds no update or no episode."""
    updates = state.metrics["updates"]
    losses = {name: value / updates for name, value in state.metrics.items() if name != "updates"}
    episodes = state.statistics.episodes.sum(-1)
    training = {
        "return_mean": state.statistics.return_sum.sum(-1) / episodes,
        "length_mean": state.statistics.length_sum.sum(-1) / episodes,
        "episodes": episodes,
    }
    return {
        **{f"training/{name}": value for name, value in training.items()},
        **{f"update/{name}": value for name, value in losses.items()},
        "update/count": updates,
    }


def healthy(state: RunState) -> jax.Array:
    """Bool ``[M]``: no loss, metric or episode return of the logging window is infinite or NaN."""
    sums = [
        *state.metrics.values(),
        state.statistics.episode_return.sum(-1),
        state.statistics.return_sum.sum(-1),
    ]
    return jnp.isfinite(jnp.stack(sums)).all(axis=0)


def _collect_and_update(agent: Agent, env: Env, state: RunState) -> tuple[RunState, Metrics]:
    key, collect_key, update_key = jax.random.split(state.key, 3)
    env_state, timestep, statistics, rollout = collect(
        agent, env, state.agent, state.env, state.timestep, state.statistics, collect_key, state.clock
    )
    agent_state, metrics = agent.update(state.agent, rollout, update_key, state.clock)
    state = dataclasses.replace(
        state, agent=agent_state, env=env_state, timestep=timestep, statistics=statistics, key=key
    )
    return state, metrics
