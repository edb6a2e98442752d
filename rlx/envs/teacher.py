"""A teacher beside the environment: its feedback takes the place of the task's reward.

A teacher watches every step of a training environment from outside. It sees the task's states, the reward and how the
learner behaves; what it says is ``timestep.reward``, the only reward that the learner ever sees. What it remembers, and
feedback that is still under way, is no part of the task, so that auto-reset leaves it alone. Evaluation has no teacher.

* A *trainer* judges (`rlx.envs.trainers`), or is a person, whose presses somebody puts into its memory.
* A *channel* is what becomes of its judgement on the way: missed, mistaken, late.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rlx.types import EnvSpec, Key, PyTree, Timestep

if TYPE_CHECKING:
    from rlx.envs.api import Env

# The learner's behaviour: from a timestep and a key, actions and whatever it tells beside them (`Agent.act`).
Behaviour = Callable[[Timestep, Key], tuple[jax.Array, dict[str, Any]]]


class Lesson(NamedTuple):
    """One step as a trainer sees it, of ``N`` copies of the environment.

    Attributes:
        env: the environment.
        behaviour: of the learner, as it is now.
        before: the task's states in which it acted.
        episode_step: int32 ``[N]``, steps taken before this one.
        action: ``[N, ...]``.
        after: the task's states that this led to, before any reset.
        reward: of the task, ``[N]``.
        key: for whatever the trainer draws.
    """

    env: "Env"
    behaviour: Behaviour
    before: PyTree
    episode_step: jax.Array
    action: jax.Array
    after: PyTree
    reward: jax.Array
    key: Key


@struct.dataclass
class Word:
    """What a trainer says of a step; leaves ``[N]``.

    Attributes:
        value: float32, praise above 0, blame below.
        trace: int32, which of the learner's traces it is meant for.
        lag: int32, steps that have passed since what it was said of, beyond the delay the learner knows of.
    """

    value: jax.Array
    trace: jax.Array
    lag: jax.Array

    @classmethod
    def nothing(cls, num_envs: int) -> "Word":
        """No feedback."""
        zeros = jnp.zeros(num_envs, jnp.int32)
        return cls(jnp.zeros(num_envs), zeros, zeros)


class Trainer(NamedTuple):
    """Who judges.

    Attributes:
        start: from the number of environments, what it remembers at first.
        judge: from what it remembers and a step, what it remembers then, and what it says.
    """

    start: Callable[[int], PyTree]
    judge: Callable[[PyTree, Lesson], tuple[PyTree, Word]]


@struct.dataclass
class Channel:
    """What becomes of feedback on the way; the numbers may be traced, so that many channels are one program.

    Attributes:
        probability: with which a judgement is spoken at all, in [0, 1].
        flips: probability that its sign is wrong, in [0, 1].
        lag: steps it takes at least.
        spread: up to so many steps more, each number of them equally likely.
        slots: one more than the most steps that it can take.
    """

    probability: float | jax.Array = 1.0
    flips: float | jax.Array = 0.0
    lag: int | jax.Array = 0
    spread: int | jax.Array = 0
    slots: int = struct.field(pytree_node=False, default=1)

    def start(self, num_envs: int) -> jax.Array:
        """Nothing under way: what arrives in this step, the next, and so on, ``[slots, N]``."""
        return jnp.zeros((self.slots, num_envs))

    def send(self, under_way: jax.Array, value: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        """Send ``value`` ``[N]`` on its way.

        Returns:
            What is under way then, and what arrives now: the sum of all that lands in this step.
        """
        drop_key, flip_key, lag_key = jax.random.split(key, 3)
        spoken = jax.random.bernoulli(drop_key, self.probability, value.shape)
        value = jnp.where(spoken, value, 0.0)
        value = jnp.where(jax.random.bernoulli(flip_key, self.flips, value.shape), -value, value)
        lag = self.lag + jax.random.randint(lag_key, value.shape, 0, jnp.asarray(self.spread) + 1)
        under_way = under_way + jax.nn.one_hot(lag, self.slots, axis=0) * value
        return jnp.roll(under_way, -1, axis=0).at[-1].set(0.0), under_way[0]


@struct.dataclass
class TeacherState:
    """What a teacher carries from step to step.

    Attributes:
        memory: the trainer's.
        under_way: the channel's; ``None`` without one.
        action: of the last step, ``[N, ...]``, for whoever watches.
        reward: of the task in that step, ``[N]``, for them too: the learner does not see it.
    """

    memory: PyTree
    under_way: jax.Array | None
    action: jax.Array
    reward: jax.Array


@struct.dataclass
class Teacher:
    """A trainer and a channel; no channel hands on what the trainer says as it is."""

    trainer: Trainer = struct.field(pytree_node=False)
    channel: Channel | None = None

    def start(self, spec: EnvSpec, num_envs: int) -> TeacherState:
        """Before the first step."""
        under_way = None if self.channel is None else self.channel.start(num_envs)
        action = jnp.zeros((num_envs, *spec.action_shape), spec.action_dtype)
        return TeacherState(self.trainer.start(num_envs), under_way, action, jnp.zeros(num_envs))

    def teach(self, state: TeacherState, lesson: Lesson) -> tuple[TeacherState, Word]:
        """Watch one step; what reaches the learner after it."""
        channel_key, judge_key = jax.random.split(lesson.key)
        memory, word = self.trainer.judge(state.memory, lesson._replace(key=judge_key))
        under_way = state.under_way
        if self.channel is not None:
            assert under_way is not None
            under_way, value = self.channel.send(under_way, word.value, channel_key)
            word = word.replace(value=value)  # type: ignore[attr-defined]
        return TeacherState(memory, under_way, lesson.action, lesson.reward), word
