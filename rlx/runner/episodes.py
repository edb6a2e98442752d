"""The account of training episodes: returns and lengths, and when learning first got somewhere."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from rlx.types import Timestep, Transition

RECENT = 10  # episodes


@struct.dataclass
class Milestones:
    """When learning first got somewhere, exact to the episode, over the whole run of one member.

    Attributes:
        recent: returns of the last ``RECENT`` episodes, oldest first; 0 for those that are not there yet.
        ended: int32, episodes that have ended.
        first_success: int32, environment steps at the end of the first episode of a return above 0; 0 before it.
        solved: int32, environment steps when the mean of ``recent`` first reached ``solved_return``; 0 before that.
        solved_return: float32, what counts as solved.
    """

    recent: jax.Array
    ended: jax.Array
    first_success: jax.Array
    solved: jax.Array
    solved_return: jax.Array

    @classmethod
    def start(cls, solved_return: float) -> "Milestones":
        """Those of a run that has taken no step."""
        zero = jnp.zeros((), jnp.int32)
        return cls(jnp.zeros(RECENT), zero, zero, zero, jnp.float32(solved_return))

    @property
    def recent_mean(self) -> jax.Array:
        """Mean return of the last ``RECENT`` episodes, or of all while there are fewer; 0 without any."""
        return self.recent.sum() / jnp.clip(self.ended, 1, RECENT)

    def after(self, returns: jax.Array, ended: jax.Array, env_steps: jax.Array) -> "Milestones":
        """Take in a rollout.

        Args:
            returns: float ``[T, N]``, of the running episode up to each step.
            ended: bool ``[T, N]``, whether that step ended its episode.
            env_steps: int32, environment steps of all ``N`` environments before the rollout.
        """
        length, num_envs = returns.shape
        steps = jnp.broadcast_to(env_steps + num_envs * (1 + jnp.arange(length))[:, None], returns.shape)
        returns, ended, steps = returns.ravel(), ended.ravel(), steps.ravel()
        # Returns of finished episodes side by side behind the recent ones; those in between go nowhere.
        number = jnp.cumsum(ended)
        slots = jnp.where(ended, RECENT - 1 + number, RECENT + ended.size)
        finished = jnp.concatenate([self.recent, jnp.zeros(ended.size)]).at[slots].set(returns, mode="drop")
        sums = jnp.stack([finished[start : start + ended.size] for start in range(1, RECENT + 1)]).sum(0)
        enough = self.ended + number >= RECENT
        solved = ended & enough & (sums[jnp.maximum(number - 1, 0)] >= RECENT * self.solved_return)
        return dataclasses.replace(
            self,
            recent=jax.lax.dynamic_slice_in_dim(finished, number[-1], RECENT),
            ended=self.ended + number[-1],
            first_success=_first(self.first_success, steps, ended & (returns > 0.0)),
            solved=_first(self.solved, steps, solved),
        )


@struct.dataclass
class Episodes:
    """Returns and lengths of training episodes, kept per environment ``[N]`` so that a step adds no reduction.

    Attributes:
        running: undiscounted return of the running episode.
        ended: episodes that have ended in the current logging window.
        return_sum: sum of their returns.
        length_sum: sum of their lengths in steps.
        milestones: those of the whole run, if anybody asked for them.
    """

    running: jax.Array
    ended: jax.Array
    return_sum: jax.Array
    length_sum: jax.Array
    milestones: Milestones | None

    @classmethod
    def start(cls, num_envs: int, solved_return: float | None = None) -> "Episodes":
        """The account before the first step; with ``solved_return`` it has milestones."""
        milestones = None if solved_return is None else Milestones.start(solved_return)
        nothing = jnp.zeros(num_envs)
        return cls(nothing, nothing, nothing, nothing, milestones)

    def after(self, previous: Timestep, timestep: Timestep) -> tuple["Episodes", jax.Array]:
        """The account after the step from ``previous`` to ``timestep``, and the return of each episode up to there."""
        done = (timestep.terminated | timestep.truncated).astype(jnp.float32)
        running = self.running + timestep.reward
        account = dataclasses.replace(
            self,
            running=jnp.where(done, 0.0, running),
            ended=self.ended + done,
            return_sum=self.return_sum + jnp.where(done, running, 0.0),
            length_sum=self.length_sum + done * (previous.episode_step + 1),
        )
        return account, running

    def after_rollout(self, rollout: Transition, returns: jax.Array | None, env_steps: jax.Array) -> "Episodes":
        """The account after ``rollout`` ``[T, N]``, whose steps are counted; see `Milestones.after`."""
        if self.milestones is None or returns is None:
            return self
        reached = self.milestones.after(returns, rollout.terminated | rollout.truncated, env_steps)
        return dataclasses.replace(self, milestones=reached)

    def new_window(self, begins: jax.Array) -> "Episodes":
        """The same running episodes and milestones; where ``begins``, with sums of zero."""
        cleared = lambda total: jnp.where(begins, jnp.zeros_like(total), total)  # noqa: E731
        return dataclasses.replace(
            self,
            ended=cleared(self.ended),
            return_sum=cleared(self.return_sum),
            length_sum=cleared(self.length_sum),
        )

    def abandon(self) -> "Episodes":
        """The same sums, with running episodes that begin anew: they end uncounted."""
        return dataclasses.replace(self, running=jnp.zeros_like(self.running))

    def window(self) -> dict[str, jax.Array]:
        """What the logging window holds, by name, leading axes as they are; NaN where no episode has ended."""
        ended = self.ended.sum(-1)
        found = {
            "return_mean": self.return_sum.sum(-1) / ended,
            "length_mean": self.length_sum.sum(-1) / ended,
            "episodes": ended,
        }
        if self.milestones is None:
            return found
        return found | {
            "recent_return": jax.vmap(lambda reached: reached.recent_mean)(self.milestones),
            "first_success_at": self.milestones.first_success,
            "solved_at": self.milestones.solved,
        }


def _first(known: jax.Array, steps: jax.Array, happened: jax.Array) -> jax.Array:
    """``known`` if it is not 0, else the first of ``steps`` at which it happened, else 0."""
    first = jnp.where(happened.any(), steps[jnp.argmax(happened)], 0)
    return jnp.where(known > 0, known, first)
