"""Evaluation: whole episodes under a fixed policy, with keys and a program of their own."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs import vector
from rlx.envs.api import Env
from rlx.runner.acting import remember, start_memory
from rlx.runner.action_use import MEASURES, executed, measured, measures
from rlx.runner.settings import RunSettings
from rlx.runner.waiting import compile_ahead
from rlx.sums import Sum
from rlx.switches import in_32_bits, uncompiled
from rlx.types import Agent, Key, Mode, PyTree, Timestep


@struct.dataclass
class Evaluation:
    """What became of ``n`` episodes.

    Attributes:
        returns: undiscounted, float32 ``[n]``.
        lengths: int32 ``[n]``.
        counters: sums of what the task counts (``env.spec.counters``), float32 ``[n]`` by name.
        actions: sums of the measures of continuous actions (`rlx.runner.action_use`), float32 ``[n]`` by name.
        unfinished: bool ``[n]``, which still ran after the most steps there may be: the rest is of what they did up to
            there. ``None`` where a time limit ends every episode.
    """

    returns: jax.Array
    lengths: jax.Array
    counters: dict[str, jax.Array]
    actions: dict[str, jax.Array] = struct.field(default_factory=dict)
    unfinished: jax.Array | None = None


def can_be_unfinished(env: Env) -> bool:
    """Whether an episode may last for ever: no time limit ends it."""
    return env.spec.max_episode_steps is None


def evaluate(
    agent: Agent, env: Env, agent_state: PyTree, key: Key, num_episodes: int, mode: Mode, max_steps: int | None = None
) -> Evaluation:
    """Play ``num_episodes`` whole episodes side by side, none of them cut short or counted twice.

    Steps go on until the last episode has ended; what an ended one does meanwhile is not counted. With ``max_steps``
    they end there all the same, with some episodes unfinished.
    """
    start_key, play_key = jax.random.split(key)
    task_state, timestep = vector.start(env, start_key, num_episodes)

    def running(carry: PyTree) -> jax.Array:
        over = carry[3] if max_steps is None else carry[3] | (carry[4].lengths >= max_steps)
        return ~jnp.all(over)

    def step(carry: PyTree) -> PyTree:
        task_state, timestep, memory, ended, counted, last, key = carry
        key, act_key, env_key = jax.random.split(key, 3)
        scene = (task_state, timestep, memory)
        (task_state, timestep, memory), action = _act(agent, env, agent_state, scene, act_key, env_key, mode)
        added = lambda total, term: total.add(jnp.where(ended, 0.0, term))  # noqa: E731
        last_action = executed(action) if measured(env.spec) else None
        used = {} if last_action is None else measures(last_action, last, counted.lengths == 0)
        counted = Evaluation(
            returns=added(counted.returns, timestep.reward),
            lengths=counted.lengths + ~ended,
            counters={name: added(total, timestep.info[name]) for name, total in counted.counters.items()},
            actions={name: added(total, used[name]) for name, total in counted.actions.items()},
        )
        return task_state, timestep, memory, ended | timestep.terminated | timestep.truncated, counted, last_action, key

    memory = start_memory(agent, agent_state, num_episodes)
    last = jnp.zeros((num_episodes, *env.spec.action_shape)) if measured(env.spec) else None
    ended, counted = jnp.zeros(num_episodes, bool), _nothing_counted(env, num_episodes)
    carry = (task_state, timestep, memory, ended, counted, last, play_key)
    _, _, _, ended, counted, _, _ = jax.lax.while_loop(running, step, carry)
    counted = dataclasses.replace(counted, unfinished=None if max_steps is None else ~ended)
    return jax.tree.map(lambda x: x.value if isinstance(x, Sum) else x, counted, is_leaf=lambda x: isinstance(x, Sum))


def _nothing_counted(env: Env, num_episodes: int) -> Evaluation:
    """The account before the first step, whose sums of reals are each a `Sum`."""
    nothing: Any = Sum.zeros((num_episodes,))
    return Evaluation(
        returns=nothing,
        lengths=jnp.zeros(num_episodes, jnp.int32),
        counters={name: nothing for name in sorted(env.spec.counters)},
        actions={name: nothing for name in MEASURES} if measured(env.spec) else {},
    )


@in_32_bits
def record(
    agent: Agent, env: Env, agent_state: PyTree, key: Key, mode: Mode, max_steps: int = RunSettings.eval_max_steps
) -> tuple[PyTree, np.ndarray]:
    """Play one episode, of a task without a time limit at most ``max_steps`` of it, and keep it, for drawing.

    Returns:
        The task's states ``[L + 1, ...]``, the start among them, and the rewards ``[L]``, on the host.
    """
    start_key, play_key = jax.random.split(key)

    @jax.jit
    def step(carry: PyTree, key: Key, arrays: tuple[jax.Array, ...]) -> PyTree:
        act_key, env_key = jax.random.split(key)
        return _act(agent, env.with_arrays(arrays), agent_state, carry, act_key, env_key, mode)[0]

    carry = (*vector.start(env, start_key, 1), start_memory(agent, agent_state, 1))
    states: list[PyTree] = [carry[0]]
    rewards: list[float] = []
    if not uncompiled():
        compile_ahead(step, carry, play_key, env.arrays)
    most = max_steps if can_be_unfinished(env) else math.inf
    while not rewards or not (carry[1].terminated | carry[1].truncated | (len(rewards) >= most)).all():
        carry = step(carry, jax.random.fold_in(play_key, len(rewards)), env.arrays)
        states.append(carry[0])
        rewards.append(float(carry[1].reward[0]))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get(states)), np.array(rewards)


def _act(
    agent: Agent, env: Env, agent_state: PyTree, carry: PyTree, act_key: Key, env_key: Key, mode: Mode
) -> tuple[tuple[PyTree, Timestep, PyTree], jax.Array]:
    """One step of the evaluation policy, from and to the task's states, timestep and memory; also the action."""
    task_state, timestep, memory = carry
    memory, seen = remember(agent, agent_state, memory, timestep, learning=False)
    action = agent.policy(agent_state, seen, act_key, mode)
    task_state, timestep = vector.advance(env, task_state, timestep.episode_step, action, env_key)
    return (task_state, timestep, memory), action
