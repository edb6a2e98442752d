"""The account of training episodes: returns and lengths, and when learning first got somewhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.sums import Sum
from rlx.types import Timestep, Transition

RECENT = 10  # episodes


@struct.dataclass
class Milestones:
    """When learning first got somewhere, exact to the episode, over the whole run of one member.

    Attributes:
        recent: returns of the last ``RECENT`` episodes, oldest first; 0 for those that are not there yet.
        ended: int32, episodes that have ended.
        first_success: int32, steps of one environment at the end of the first episode of a return above 0; 0 before it.
        solved: int32, the same when the mean of ``recent`` first reached ``solved_return``; 0 before that.
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

    def after(self, returns: jax.Array, ended: jax.Array, taken: jax.Array) -> "Milestones":
        """Take in a rollout.

        Args:
            returns: float ``[T, N]``, of the running episode up to each step.
            ended: bool ``[T, N]``, whether that step ended its episode.
            taken: int32, steps of each environment before the rollout.
        """
        steps = jnp.broadcast_to(taken + 1 + jnp.arange(len(returns))[:, None], returns.shape)
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
        ended: int32, episodes that have ended in the current logging window.
        returns: sum of their returns.
        lengths: int32, sum of their lengths in steps.
        milestones: those of the whole run, if anybody asked for them.
        num_envs: ``N``.
    """

    running: Sum
    ended: jax.Array
    returns: Sum
    lengths: jax.Array
    milestones: Milestones | None
    num_envs: int = struct.field(pytree_node=False)

    @classmethod
    def start(cls, num_envs: int, solved_return: float | None = None) -> "Episodes":
        """The account before the first step; with ``solved_return`` it has milestones."""
        milestones = None if solved_return is None else Milestones.start(solved_return)
        nothing, none = Sum.zeros((num_envs,)), jnp.zeros(num_envs, jnp.int32)
        return cls(nothing, none, nothing, none, milestones, num_envs)

    def after(self, previous: Timestep, timestep: Timestep) -> tuple["Episodes", jax.Array]:
        """The account after the step from ``previous`` to ``timestep``, and the return of each episode up to there."""
        done = timestep.terminated | timestep.truncated
        running = self.running.add(timestep.reward)
        account = dataclasses.replace(
            self,
            running=running.where(~done),
            ended=self.ended + done,
            returns=self.returns.merge(running.where(done)),
            lengths=self.lengths + jnp.where(done, previous.episode_step + 1, 0),
        )
        return account, running.value

    def after_rollout(self, rollout: Transition, returns: jax.Array | None, taken: jax.Array) -> "Episodes":
        """The account after ``rollout`` ``[T, N]``, whose steps are counted; see `Milestones.after`."""
        if self.milestones is None or returns is None:
            return self
        reached = self.milestones.after(returns, rollout.terminated | rollout.truncated, taken)
        return dataclasses.replace(self, milestones=reached)

    def new_window(self, begins: jax.Array) -> "Episodes":
        """The same running episodes and milestones; where ``begins``, a bool scalar, with sums of zero."""
        goes_on = ~begins
        return dataclasses.replace(
            self, ended=self.ended * goes_on, returns=self.returns.where(goes_on), lengths=self.lengths * goes_on
        )

    def abandon(self) -> "Episodes":
        """The same sums, with running episodes that begin anew: they end uncounted."""
        return dataclasses.replace(self, running=jax.tree.map(jnp.zeros_like, self.running))

    def over_envs(self) -> "Episodes":
        """The account summed over environments, leading axes as they are, without the running episodes."""
        return dataclasses.replace(
            self,
            running=None,  # type: ignore[arg-type]
            ended=self.ended.sum(-1),
            returns=self.returns.over(-1),
            lengths=self.lengths.astype(jnp.float32).sum(-1),
        )


def summary_of(episodes: Episodes) -> dict[str, np.ndarray]:
    """What the logging window holds, ``[M]`` by name; NaN where no episode has ended.

    Args:
        episodes: of members ``[M]``, summed over environments, on the host.
    """
    ended = np.asarray(episodes.ended)
    with np.errstate(invalid="ignore"):
        found = {
            "return_mean": episodes.returns.on_host() / ended,
            "length_mean": np.asarray(episodes.lengths) / ended,
            "episodes": ended,
        }
    reached = episodes.milestones
    if reached is None:
        return found
    return found | {
        "recent_return": reached.recent.sum(-1, dtype=np.float64) / np.clip(reached.ended, 1, RECENT),
        "first_success_at": np.asarray(reached.first_success, np.int64) * episodes.num_envs,
        "solved_at": np.asarray(reached.solved, np.int64) * episodes.num_envs,
    }


def _first(known: jax.Array, steps: jax.Array, happened: jax.Array) -> jax.Array:
    """``known`` if it is not 0, else the first of ``steps`` at which it happened, else 0."""
    first = jnp.where(happened.any(), steps[jnp.argmax(happened)], 0)
    return jnp.where(known > 0, known, first)
