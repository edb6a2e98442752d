"""Learning from a replay: once there is enough in it, a number of updates in each learning event."""

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp

from rlx.replay import replay as replays
from rlx.replay.replay import Replay, Sample
from rlx.replay.rules import UNIFORM, Rule
from rlx.switches import shapes_of
from rlx.types import Clock, Key, Metrics, PyTree, Transition

Losses = dict[str, jax.Array]
# From what is learned and a key to the same after one gradient update, and the metrics of that update.
Update = Callable[[PyTree, Key], tuple[PyTree, Losses]]
# The same from a minibatch, and with new priorities [B] of its transitions, if they have any.
SampleUpdate = Callable[[PyTree, Sample, Key], tuple[PyTree, jax.Array | None, Losses]]


class Fields(Protocol):
    """What `learn_from_replay` reads of an agent, its hyperparameters or made of them."""

    @property
    def learning_starts(self) -> int:
        """Environment steps before the first update."""
        ...

    @property
    def num_updates(self) -> int:
        """Updates in one learning event."""
        ...

    @property
    def batch_size(self) -> int:
        """Transitions in a minibatch."""
        ...

    @property
    def discount(self) -> float:
        """Of one step."""
        ...


def learn_when_warm(
    warm: jax.Array, update: Update, learner: PyTree, key: Key, num_updates: int
) -> tuple[PyTree, Metrics]:
    """Make ``num_updates`` updates, each with a key of its own; none, and no computation, unless ``warm``.

    Args:
        warm: bool scalar, of the shared clock, so that this stays a branch in a population.
        update: draws from the replay and descends.
        learner: what is learned: parameters, optimiser states, priorities.
        key: of this learning event.
        num_updates: at least 1.
    """

    def learn(learner: PyTree) -> tuple[PyTree, Metrics]:
        learner, metrics = jax.lax.scan(update, learner, jax.random.split(key, num_updates))
        means = jax.tree.map(lambda values: values.mean(axis=0), metrics)
        return learner, Metrics(means=means, updates=jnp.int32(num_updates))

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes_of(learn, learner)[1])
    return jax.lax.cond(warm, learn, lambda learner: (learner, nothing), learner)


def learn_from_replay(
    agent: Fields,
    replay: Replay,
    rollout: Transition,
    learner: PyTree,
    update: SampleUpdate,
    key: Key,
    clock: Clock,
    rule: Rule = UNIFORM,
) -> tuple[Replay, PyTree, Metrics]:
    """One learning event of an agent with a replay: store the rollout, and once warm make updates on minibatches of it.

    Args:
        agent: says when, how many and how large.
        replay: experience so far.
        rollout: fresh transitions ``[T, N, ...]``.
        learner: what is learned.
        update: from the learner, a minibatch and a key to the learner, new priorities ``[B]`` or ``None``, and metrics.
        key: of this learning event.
        clock: of ``update``.
        rule: how minibatches are drawn.

    Returns:
        The replay, the learner and what the updates report.
    """
    count = clock.iterations * rollout.reward.shape[0]
    replay = replays.add(replay, rollout, count)
    return learn_from_stored(agent, replay, count, learner, update, key, clock, rule)


def learn_from_stored(
    agent: Fields,
    replay: Replay,
    count: jax.Array,
    learner: PyTree,
    update: SampleUpdate,
    key: Key,
    clock: Clock,
    rule: Rule = UNIFORM,
) -> tuple[Replay, PyTree, Metrics]:
    """The second half of `learn_from_replay`, of a replay that has the rollout already.

    Args:
        agent: says when, how many and how large.
        replay: experience so far.
        count: rows ever written.
        learner: what is learned.
        update: see `learn_from_replay`.
        key: of this learning event.
        clock: of ``update``.
        rule: how minibatches are drawn.
    """

    def step(carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Losses]:
        learner, priorities = carry
        sample_key, update_key = jax.random.split(key)
        # Only priorities change between updates: experience stays where it is.
        held = dataclasses.replace(replay, priorities=priorities)
        sample = replays.sample(held, count, sample_key, agent.batch_size, rule, agent.discount)
        learner, changed, metrics = update(learner, sample, update_key)
        if changed is not None:
            held = replays.reprioritise(held, sample.indices, changed)
        return (learner, held.priorities), metrics

    warm = clock.reached(agent.learning_starts) & replays.ready(replay, count)
    carry = (learner, replay.priorities)
    (learner, priorities), metrics = learn_when_warm(warm, step, carry, key, agent.num_updates)
    return dataclasses.replace(replay, priorities=priorities), learner, metrics


def updates_before(agent: Fields, clock: Clock) -> jax.Array:
    """Updates that earlier learning events have made from a replay of single steps, int32.

    Of the shared clock: carried through the updates of an event, it counts them all, and whatever depends on it stays
    a branch in a population.
    """
    first = max(1, math.ceil(agent.learning_starts / clock.steps_per_iteration))
    return jnp.maximum(clock.iterations - first, 0) * agent.num_updates


def every(
    period: int, number: jax.Array, change: Callable[[PyTree], tuple[PyTree, Losses]], learner: PyTree
) -> tuple[PyTree, Losses]:
    """``change`` in those updates whose number is a multiple of ``period``.

    Args:
        period: at least 1; with 1 there is no branch.
        number: of this update, int32, see `updates_before`.
        change: from what is learned to the same after the change, and losses.
        learner: what is learned.

    Returns:
        What is learned, and losses; ``period`` times what they are where there are some, else 0, so that they are right
        in a mean over updates.
    """
    if period == 1:
        return change(learner)

    def changed(learner: PyTree) -> tuple[PyTree, Losses]:
        learner, losses = change(learner)
        return learner, jax.tree.map(lambda loss: period * loss, losses)

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes_of(change, learner)[1])
    return jax.lax.cond(number % period == 0, changed, lambda learner: (learner, nothing), learner)
