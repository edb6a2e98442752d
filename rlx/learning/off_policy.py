"""Learning from a replay: once there is enough in it, a number of updates in each learning event."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlx.replay import replay as replays
from rlx.replay.replay import Replay, Sample
from rlx.replay.rules import Rule
from rlx.switches import shapes_of
from rlx.types import Clock, Key, Metrics, PyTree, Transition

Losses = dict[str, jax.Array]
# From what is learned and a key to the same after one gradient update, and the metrics of that update.
Update = Callable[[PyTree, Key], tuple[PyTree, Losses]]
# The same from a minibatch, and with new priorities [B] of its transitions, if they have any.
SampleUpdate = Callable[[PyTree, Sample, Key], tuple[PyTree, jax.Array | None, Losses]]


class ReplaySettings(NamedTuple):
    """How an agent learns from its replay.

    Attributes:
        learning_starts: environment steps of a member before the first update.
        num_updates: of a learning event.
        batch_size: transitions of a minibatch.
        rule: how they are drawn.
        discount: of one step, for the rewards within a window.
    """

    learning_starts: int
    num_updates: int
    batch_size: int
    rule: Rule
    discount: float | jax.Array


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
        return learner, Metrics(means=jax.tree.map(jnp.mean, metrics), updates=jnp.int32(num_updates))

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes_of(learn, learner)[1])
    return jax.lax.cond(warm, learn, lambda learner: (learner, nothing), learner)


def learn_from_replay(
    replay: Replay,
    rollout: Transition,
    learner: PyTree,
    update: SampleUpdate,
    key: Key,
    clock: Clock,
    settings: ReplaySettings,
) -> tuple[Replay, PyTree, Metrics]:
    """One learning event of an agent with a replay: store the rollout, and once warm make updates on minibatches of it.

    Args:
        replay: experience so far.
        rollout: fresh transitions ``[T, N, ...]``.
        learner: what is learned.
        update: from the learner, a minibatch and a key to the learner, new priorities ``[B]`` or ``None``, and metrics.
        key: of this learning event.
        clock: of ``update``.
        settings: how much is drawn, and when.

    Returns:
        The replay, the learner and what the updates report.
    """
    count = clock.iterations * rollout.reward.shape[0]
    replay = replays.add(replay, rollout, count)
    return learn_from_stored(replay, count, learner, update, key, clock, settings)


def learn_from_stored(
    replay: Replay,
    count: jax.Array,
    learner: PyTree,
    update: SampleUpdate,
    key: Key,
    clock: Clock,
    settings: ReplaySettings,
) -> tuple[Replay, PyTree, Metrics]:
    """The second half of `learn_from_replay`, of a replay that has the rollout already.

    Args:
        replay: experience so far.
        count: rows ever written.
        learner: what is learned.
        update: see `learn_from_replay`.
        key: of this learning event.
        clock: of ``update``.
        settings: how much is drawn, and when.
    """

    def step(carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Losses]:
        learner, priorities = carry
        sample_key, update_key = jax.random.split(key)
        # Only priorities change between updates: experience stays where it is.
        held = dataclasses.replace(replay, priorities=priorities)
        sample = replays.sample(held, count, sample_key, settings.batch_size, settings.rule, settings.discount)
        learner, changed, metrics = update(learner, sample, update_key)
        if changed is not None:
            held = replays.reprioritise(held, sample.indices, changed)
        return (learner, held.priorities), metrics

    warm = clock.reached(settings.learning_starts) & replays.ready(replay, count)
    carry = (learner, replay.priorities)
    (learner, priorities), metrics = learn_when_warm(warm, step, carry, key, settings.num_updates)
    return dataclasses.replace(replay, priorities=priorities), learner, metrics


def updates_before(clock: Clock, settings: ReplaySettings) -> jax.Array:
    """Updates that earlier learning events have made from a replay of single steps, int32.

    Of the shared clock: carried through the updates of an event, it counts them all, and whatever depends on it stays
    a branch in a population.
    """
    first = max(1, math.ceil(settings.learning_starts / clock.steps_per_iteration))
    return jnp.maximum(clock.iterations - first, 0) * settings.num_updates


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
