"""Step one member's environments with its behaviour policy."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs import vector
from rlx.envs.api import Env
from rlx.types import Agent, Clock, Key, PyTree, Timestep, Transition


@struct.dataclass
class EpisodeStatistics:
    """Returns and lengths of training episodes, kept per environment ``[N]`` so that a step adds no reduction.

    Attributes:
        episode_return: undiscounted return of the running episode.
        episodes: episodes that have ended since the last reset of the sums.
        return_sum: sum of their returns.
        length_sum: sum of their lengths in steps.
    """

    episode_return: jax.Array
    episodes: jax.Array
    return_sum: jax.Array
    length_sum: jax.Array

    @classmethod
    def zeros(cls, num_envs: int) -> "EpisodeStatistics":
        """Statistics before the first step."""
        return cls(*(jnp.zeros(num_envs) for _ in range(4)))

    def after(self, previous: Timestep, timestep: Timestep) -> "EpisodeStatistics":
        """Statistics after the step from ``previous`` to ``timestep``."""
        done = (timestep.terminated | timestep.truncated).astype(jnp.float32)
        episode_return = self.episode_return + timestep.reward
        return EpisodeStatistics(
            episode_return=jnp.where(done, 0.0, episode_return),
            episodes=self.episodes + done,
            return_sum=self.return_sum + jnp.where(done, episode_return, 0.0),
            length_sum=self.length_sum + done * (previous.episode_step + 1),
        )

    def restart(self) -> "EpisodeStatistics":
        """The same running episodes, with sums of zero."""
        return dataclasses.replace(EpisodeStatistics.zeros(self.episodes.shape[-1]), episode_return=self.episode_return)

    def abandon(self) -> "EpisodeStatistics":
        """The same sums, with running episodes that begin anew: they end uncounted."""
        return dataclasses.replace(self, episode_return=jnp.zeros_like(self.episode_return))


def collect(
    agent: Agent,
    env: Env,
    agent_state: PyTree,
    env_state: vector.VectorState,
    timestep: Timestep,
    statistics: EpisodeStatistics,
    key: Key,
    clock: Clock,
) -> tuple[vector.VectorState, Timestep, EpisodeStatistics, Transition]:
    """Take ``rollout_length`` steps in each of the member's environments.

    What an agent may ask for (see `rlx.types.Agent`): new episodes at the start (``agent.restarts``), to take in each
    timestep before it acts on it (``agent.observes``), and in ``extras["task_state"]`` the task's state in which it
    acted (``agent.rewinds``).

    Returns:
        The environments' state, the timestep to act on next, the statistics, and the transitions ``[T, N, ...]``.
    """
    observe: Any = agent.observe if getattr(agent, "observes", False) else None  # type: ignore[attr-defined]
    if getattr(agent, "restarts", False):
        key, start_key = jax.random.split(key)
        env_state, timestep = vector.reset(env, start_key, agent.num_envs)
        statistics = statistics.abandon()

    def step(carry: PyTree, key: Key) -> tuple[PyTree, Transition]:
        env_state, timestep, statistics, observer = carry
        act_key, env_key = jax.random.split(key)
        if observe:
            observer = observe(observer, timestep)
        action, extras = agent.act(observer if observe else agent_state, timestep, act_key, clock)
        if getattr(agent, "rewinds", False):
            extras = extras | {"task_state": env_state.task_state}
        env_state, following = vector.step(env, env_state, action, env_key)
        transition = Transition(
            obs=timestep.obs,
            action=action,
            reward=following.reward,
            terminated=following.terminated,
            truncated=following.truncated,
            next_obs=following.final_obs,
            action_mask=timestep.action_mask,
            next_action_mask=following.final_action_mask,
            extras=extras,
            info=following.info,
        )
        return (env_state, following, statistics.after(timestep, following), observer), transition

    carry = (env_state, timestep, statistics, agent_state if observe else None)
    carry, rollout = jax.lax.scan(step, carry, jax.random.split(key, agent.rollout_length))
    env_state, timestep, statistics, _ = carry
    return env_state, timestep, statistics, rollout
