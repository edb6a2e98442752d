"""The training loop: the only one, for every agent.

``RunState`` is the whole run in one pytree. Its leaves have a leading member axis ``[M]``, except the clock, which
all members share: an agent's periodic branches therefore stay branches under ``vmap``.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.api import Env
from rlx.runner.collect import Scene, collect, set_scene
from rlx.runner.window import Totals, Updates
from rlx.switches import shapes_of
from rlx.types import Agent, Clock, Key, Metrics, PyTree


@struct.dataclass
class RunState:
    """Everything a run is made of; checkpoints, donation and sharding treat it as a whole.

    Attributes:
        agent: the agent's state, its replay included.
        scene: what it acts in, with the account of the current logging window's episodes.
        updates: what those of the current logging window reported.
        key: the key that all later randomness of this member comes from.
        clock: counters shared by all members.
    """

    agent: PyTree
    scene: Scene
    updates: Updates
    key: Key
    clock: Clock


# Which leaves of a RunState have a member axis: a prefix for vmap (see `population` for the sharded form).
MEMBER_AXES = RunState(agent=0, scene=0, updates=0, key=0, clock=None)  # type: ignore[arg-type]


def init(agent: Agent, env: Env, key: Key, clock: Clock, solved_return: float | None = None) -> RunState:
    """The state of one member before its first step; ``solved_return`` is that of `Milestones`."""
    agent_key, env_key, run_key = jax.random.split(key, 3)
    agent_state = agent.init(agent_key)
    scene = set_scene(agent, env, agent_state, env_key, solved_return)
    state = RunState(agent_state, scene, None, run_key, clock)  # type: ignore[arg-type]
    _, metrics = shapes_of(lambda state: _collect_and_update(agent, env, state), state)
    return dataclasses.replace(state, updates=Updates.start(metrics))


def iterate(agent: Agent, env: Env, state: RunState) -> RunState:
    """One iteration of one member: collect a rollout, learn from it. The clock stays where it is."""
    state, metrics = _collect_and_update(agent, env, state)
    return dataclasses.replace(state, updates=state.updates.after(metrics))


def chunk(agents: Agent, env: Env, state: RunState, iterations: jax.Array, new_window: jax.Array) -> RunState:
    """Advance all members by ``iterations`` iterations.

    Args:
        agents: hyperparameters, leaves ``[M]``.
        env: the environment.
        state: leaves ``[M, ...]``.
        iterations: int32 scalar, traced: chunks of any length share one program.
        new_window: bool scalar, whether to restart the sums of the logging window first.
    """
    members = jax.vmap(lambda agent, state: iterate(agent, env, state), (0, MEMBER_AXES), MEMBER_AXES)
    return _repeated(lambda state: members(agents, state), begin_window(state, new_window), iterations)


def chunk_alone(agent: Agent, env: Env, state: RunState, iterations: jax.Array, new_window: jax.Array) -> RunState:
    """`chunk` of a single member, whose leaves have no member axis."""
    return _repeated(lambda state: iterate(agent, env, state), begin_window(state, new_window), iterations)


def _repeated(iteration: Callable[[RunState], RunState], state: RunState, iterations: jax.Array) -> RunState:
    def body(_: jax.Array, state: RunState) -> RunState:
        return dataclasses.replace(iteration(state), clock=state.clock.advance())

    return jax.lax.fori_loop(0, iterations, body, state)


def without_clock(state: RunState) -> RunState:
    """The state without the only part that has no member axis."""
    return dataclasses.replace(state, clock=None)  # type: ignore[arg-type]


def begin_window(state: RunState, begins: jax.Array) -> RunState:
    """Where ``begins``, a bool scalar, the state with an empty logging window; else as it is."""
    episodes, actions = state.scene.episodes.new_window(begins), state.scene.actions
    actions = None if actions is None else actions.new_window(begins)
    scene = dataclasses.replace(state.scene, episodes=episodes, actions=actions)
    return dataclasses.replace(state, scene=scene, updates=state.updates.new_window(begins))


def totals(state: RunState) -> Totals:
    """What the logging window holds, leaves ``[M, ...]``; `rlx.runner.window` makes means of it."""
    actions = state.scene.actions
    return Totals(state.updates, state.scene.episodes.over_envs(), None if actions is None else actions.totals())


def healthy(state: RunState) -> jax.Array:
    """Bool ``[M]``: no loss, metric or episode return of the logging window is infinite or NaN."""
    episodes = state.scene.episodes
    numbers = jax.tree.leaves((state.updates, episodes.running, episodes.returns))
    return jnp.stack([jnp.isfinite(x.reshape(len(x), -1)).all(axis=1) for x in numbers]).all(axis=0)


def _collect_and_update(agent: Agent, env: Env, state: RunState) -> tuple[RunState, Metrics]:
    key, collect_key, update_key = jax.random.split(state.key, 3)
    scene, rollout = collect(agent, env, state.agent, state.scene, collect_key, state.clock)
    agent_state, metrics = agent.update(state.agent, rollout, update_key, state.clock.advance())
    return dataclasses.replace(state, agent=agent_state, scene=scene, key=key), metrics
