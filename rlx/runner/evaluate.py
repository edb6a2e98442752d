"""Evaluation: whole episodes under a fixed policy, with keys and a program of their own."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs import vector
from rlx.envs.api import Env
from rlx.types import Agent, Key, Mode, PyTree, Timestep


@struct.dataclass
class Evaluation:
    """What became of ``n`` episodes.

    Attributes:
        returns: undiscounted, float32 ``[n]``.
        lengths: int32 ``[n]``.
        invalid: invalid actions of every sort that the task counts, float32 ``[n]`` by name.
    """

    returns: jax.Array
    lengths: jax.Array
    invalid: dict[str, jax.Array]


def evaluate(agent: Agent, env: Env, agent_state: PyTree, key: Key, num_episodes: int, mode: Mode) -> Evaluation:
    """Play ``num_episodes`` whole episodes side by side, none of them cut short or counted twice.

    Steps go on until the last episode has ended; what an ended one does meanwhile is not counted.
    """
    start_key, play_key = jax.random.split(key)
    task_state, timestep = vector.start(env, start_key, num_episodes)

    def running(carry: PyTree) -> jax.Array:
        return ~jnp.all(carry[2])

    def step(carry: PyTree) -> PyTree:
        task_state, timestep, ended, counted, key = carry
        key, act_key, env_key = jax.random.split(key, 3)
        action = agent.policy(agent_state, timestep, act_key, mode)
        task_state, timestep = vector.advance(env, task_state, timestep.episode_step, action, env_key)
        counted = Evaluation(
            returns=counted.returns + jnp.where(ended, 0.0, timestep.reward),
            lengths=counted.lengths + ~ended,
            invalid={
                name: total + jnp.where(ended, 0.0, timestep.info[name]) for name, total in counted.invalid.items()
            },
        )
        return task_state, timestep, ended | timestep.terminated | timestep.truncated, counted, key

    nothing = jnp.zeros(num_episodes)
    counted = Evaluation(
        nothing,
        jnp.zeros(num_episodes, jnp.int32),
        {name: nothing for name in timestep.info if name.startswith("invalid_")},
    )
    carry = (task_state, timestep, jnp.zeros(num_episodes, bool), counted, play_key)
    return jax.lax.while_loop(running, step, carry)[3]


def record(agent: Agent, env: Env, agent_state: PyTree, key: Key, mode: Mode) -> tuple[PyTree, np.ndarray]:
    """Play one episode and keep it, for drawing.

    Returns:
        The task's states ``[L + 1, ...]``, the start among them, and the rewards ``[L]``, on the host.
    """
    start_key, play_key = jax.random.split(key)
    first_state, first = vector.start(env, start_key, 1)

    @jax.jit
    def step(task_state: PyTree, timestep: Timestep, key: Key) -> tuple[PyTree, Timestep]:
        act_key, env_key = jax.random.split(key)
        action = agent.policy(agent_state, timestep, act_key, mode)
        return vector.advance(env, task_state, timestep.episode_step, action, env_key)

    states: list[PyTree] = [first_state]
    rewards: list[float] = []
    task_state, timestep = first_state, first
    while not rewards or not (timestep.terminated | timestep.truncated).all():
        task_state, timestep = step(task_state, timestep, jax.random.fold_in(play_key, len(rewards)))
        states.append(task_state)
        rewards.append(float(timestep.reward[0]))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get(states)), np.array(rewards)


def acting_part(agent_state: PyTree) -> PyTree:
    """The agent's state with only what its policy reads: ``params`` and, where there are any, ``statistics``."""
    kept = {"params", "statistics"}
    return agent_state.replace(**{name: None for name in vars(agent_state) if name not in kept})
