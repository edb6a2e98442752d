"""Many simulated trainers and their pupils as one program, on a grid, episode by episode."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rlx
from rlx.envs.api import Env
from rlx.envs.teacher import Channel
from rlx.reproduce.jobs import Chunked
from rlx.runner import loop, population
from rlx.types import Agent, Clock, Key, PyTree

PAPER = "MacGlashan et al., ICML 2017, https://arxiv.org/abs/1701.06049"
QUALITATIVE = "qualitative only"  # what the paper says of every number here
LAST = 50  # episodes that count


class Pupil(NamedTuple):
    """A row of a table.

    Attributes:
        setting: what tells it from others.
        fields: of its agent.
        channel: between its trainer and it.
    """

    setting: Mapping[str, Any]
    fields: Mapping[str, Any]
    channel: Channel = Channel()


class Class(NamedTuple):
    """Pupils that one program teaches: one kind of trainer and of agent.

    Attributes:
        name: of its job.
        agent: whose fields the pupils change.
        teacher: who judges.
        pupils: the rows.
        limit: time limit of an episode.
    """

    name: str
    agent: str
    teacher: str
    pupils: Sequence[Pupil]
    limit: int = 500


class Diary(NamedTuple):
    """What became of episodes, ``[M]`` of the running one and ``[M, E]`` of those that have ended.

    Attributes:
        number: of episodes that have ended.
        length: steps of the running one.
        praise: sum of its feedback above 0.
        lengths: steps.
        solved: whether it reached the goal.
        praises: mean praise of a step.
    """

    number: jax.Array
    length: jax.Array
    praise: jax.Array
    lengths: jax.Array
    solved: jax.Array
    praises: jax.Array

    @classmethod
    def empty(cls, members: int, episodes: int) -> "Diary":
        """Of no step."""
        zero, zeros = jnp.zeros(members), jnp.zeros((members, episodes))
        return cls(zero.astype(jnp.int32), zero, zero, zeros, zeros, zeros)

    def after(self, feedback: jax.Array, terminated: jax.Array, ended: jax.Array) -> "Diary":
        """With one step more, ``[M]`` each."""
        length, praise = self.length + 1, self.praise + jnp.maximum(feedback, 0.0)
        members, at = jnp.arange(len(length)), jnp.where(ended, self.number, self.lengths.shape[1])
        put = lambda kept, new: kept.at[members, at].set(new, mode="drop")  # noqa: E731
        return Diary(
            number=self.number + ended,
            length=jnp.where(ended, 0.0, length),
            praise=jnp.where(ended, 0.0, praise),
            lengths=put(self.lengths, length),
            solved=put(self.solved, terminated.astype(jnp.float32)),
            praises=put(self.praises, praise / length),
        )


def job(group: Class, seeds: int, episodes: int) -> Chunked:
    """Teach every pupil with every seed; outputs ``[pupils, seeds, episodes]``."""
    settings = {
        "agent": group.agent,
        "teacher": group.teacher,
        "limit": group.limit,
        "episodes": episodes,
        "seeds": seeds,
        "pupils": [[dict(p.fields), dataclasses.astuple(p.channel)] for p in group.pupils],
    }

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        diary = teach(group, seeds, episodes)
        shape = (len(group.pupils), seeds, episodes)
        kept = {"lengths": diary.lengths, "solved": diary.solved, "praises": diary.praises}
        return state, {name: np.asarray(value).reshape(shape) for name, value in kept.items()}

    return Chunked(group.name, settings, 1, lambda: np.zeros(()), advance, weight=float(len(group.pupils)))


def teach(group: Class, seeds: int, episodes: int) -> Diary:
    """What became of the first ``episodes`` of every pupil with every seed, pupil by pupil."""
    longest = max(pupil.channel.slots for pupil in group.pupils)
    env = rlx.make_env("rlx/cliff-grid", teacher=group.teacher, max_episode_steps=group.limit)
    agents = [rlx.make_agent(group.agent, env, **pupil.fields) for pupil in group.pupils for _ in range(seeds)]
    channels = [dataclasses.replace(pupil.channel, slots=longest) for pupil in group.pupils for _ in range(seeds)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *channels)
    keys = population.keys_for(range(len(agents)), population.INIT_STREAM)
    return jax.device_get(_taught(env, episodes, population.stack(agents), stacked, keys))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _taught(env: Env, episodes: int, agents: Agent, channels: Channel, keys: Key) -> Diary:
    limit = env.spec.max_episode_steps
    assert limit is not None
    assert env.teacher is not None
    teacher, budget = env.teacher, episodes * limit
    clock = Clock.start(budget, 1)
    of = lambda channel: dataclasses.replace(env, teacher=dataclasses.replace(teacher, channel=channel))  # noqa: E731
    members, axes = (0, 0, loop.MEMBER_AXES), loop.MEMBER_AXES
    start = jax.vmap(lambda agent, channel, key: loop.init(agent, of(channel), key, clock), out_axes=axes)
    iterate = jax.vmap(lambda agent, channel, state: loop.iterate(agent, of(channel), state), members, axes)

    def step(carry: tuple[loop.RunState, Diary]) -> tuple[loop.RunState, Diary]:
        state, diary = carry
        state = iterate(agents, channels, state)
        seen = state.scene.timestep
        ended = (seen.terminated | seen.truncated)[:, 0]
        state = dataclasses.replace(state, clock=state.clock.advance())
        return state, diary.after(seen.reward[:, 0], seen.terminated[:, 0], ended)

    def running(carry: tuple[loop.RunState, Diary]) -> jax.Array:
        return (carry[1].number < episodes).any() & (carry[0].clock.iterations < budget)

    state = start(agents, channels, keys)
    return jax.lax.while_loop(running, step, (state, Diary.empty(len(keys), episodes)))[1]
