"""When learning first got somewhere: exact to the episode, found in the rollouts of training."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

WINDOW = 10


@struct.dataclass
class EpisodeRecord:
    """What is known of all training episodes of one member.

    Attributes:
        running: return of the running episode of each environment ``[N]``.
        recent: returns of the last ``WINDOW`` episodes, oldest first; 0 for those that are not there yet.
        episodes: int32, how many have ended.
        first_success: int32, environment steps at the end of the first episode of a return above 0; 0 before it.
        solved: int32, environment steps when the mean of ``recent`` first reached the threshold; 0 before that.
    """

    running: jax.Array
    recent: jax.Array
    episodes: jax.Array
    first_success: jax.Array
    solved: jax.Array

    @property
    def recent_mean(self) -> jax.Array:
        """Mean return of the last ``WINDOW`` episodes, or of all while there are fewer; 0 without any."""
        return self.recent.sum() / jnp.clip(self.episodes, 1, WINDOW)


def init(num_envs: int) -> EpisodeRecord:
    """The record before the first step."""
    zero = jnp.zeros((), jnp.int32)
    return EpisodeRecord(
        running=jnp.zeros(num_envs), recent=jnp.zeros(WINDOW), episodes=zero, first_success=zero, solved=zero
    )


def abandon(record: EpisodeRecord) -> EpisodeRecord:
    """The record when all environments begin new episodes: the running ones do not count."""
    return dataclasses.replace(record, running=jnp.zeros_like(record.running))


def update(
    record: EpisodeRecord, reward: jax.Array, ended: jax.Array, env_steps: jax.Array, threshold: float | jax.Array
) -> EpisodeRecord:
    """Take in a rollout.

    Args:
        record: of all steps before.
        reward: float ``[T, N]``.
        ended: bool ``[T, N]``, whether that step ended its episode.
        env_steps: int32, environment steps of all ``N`` environments before the rollout.
        threshold: mean return of the last ``WINDOW`` episodes that counts as solved.
    """

    def step(running: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        total = running + inputs[0]
        return jnp.where(inputs[1], 0.0, total), total

    running, totals = jax.lax.scan(step, record.running, (reward, ended))
    steps = jnp.broadcast_to(env_steps + reward.shape[1] * (1 + jnp.arange(reward.shape[0]))[:, None], reward.shape)
    totals, ended, steps = totals.ravel(), ended.ravel(), steps.ravel()
    # Returns of finished episodes side by side behind the recent ones; rewards in between go nowhere.
    number = jnp.cumsum(ended)
    slots = jnp.where(ended, WINDOW - 1 + number, WINDOW + ended.size)
    returns = jnp.concatenate([record.recent, jnp.zeros(ended.size)]).at[slots].set(totals, mode="drop")
    sums = jnp.stack([returns[start : start + ended.size] for start in range(1, WINDOW + 1)]).sum(0)
    enough = record.episodes + number >= WINDOW
    solved = ended & enough & (sums[jnp.maximum(number - 1, 0)] >= WINDOW * threshold)
    return EpisodeRecord(
        running=running,
        recent=jax.lax.dynamic_slice_in_dim(returns, number[-1], WINDOW),
        episodes=record.episodes + number[-1],
        first_success=_first(record.first_success, steps, ended & (totals > 0.0)),
        solved=_first(record.solved, steps, solved),
    )


def _first(known: jax.Array, steps: jax.Array, happened: jax.Array) -> jax.Array:
    """``known`` if it is not 0, else the first of ``steps`` at which it happened, else 0."""
    first = jnp.where(happened.any(), steps[jnp.argmax(happened)], 0)
    return jnp.where(known > 0, known, first)
