"""The one interface to a replay: create, add, sample, reprioritise.

    replay = create(example_transition(spec), replay_size, num_envs, rollout_length, n_step)
    replay = add(replay, rollout, count)
    drawn = sample(replay, count, key, batch_size, rules.Uniform(), discount)

``count`` is the rows ever written, those of the latest ``add`` included: ``clock.iterations * rollout_length``
in an ``update``. The replay does not count for itself, so that writing stays one slice under ``vmap``
(see `rlx.replay.ring`).

Transitions are named by *indices*, ``physical row * num_envs + env``. They are what ``sample`` returns and
``reprioritise`` takes, and hold until the row is overwritten. What draws or reads in another way, by offsets
from the oldest row, is converted here.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.replay import prioritised, requeue, sampling, transitions
from rlx.replay import ring as rings
from rlx.replay.n_step import NStepBatch, valid_starts, windows_from
from rlx.replay.prioritised import SumTree
from rlx.replay.requeue import Queue
from rlx.replay.ring import Ring
from rlx.replay.rules import ByAge, Newest, Prioritised, Rule, Uniform
from rlx.types import Key, Transition


@struct.dataclass
class Replay:
    """Experience and how it is kept.

    Attributes:
        ring: the transitions, a ``Transition`` with leaves ``[capacity, N, ...]``.
        priorities: of all transitions, where they are drawn by them.
        queue: where each environment writes next, for a replay made by ``create_tiled``.
        n_step: rows of a window.
    """

    ring: Ring
    priorities: SumTree | None
    queue: Queue | None
    n_step: int = struct.field(pytree_node=False)


@struct.dataclass
class Sample:
    """One minibatch.

    Attributes:
        batch: n-step transitions, leading axis ``[B]``.
        weights: importance weights, float32 ``[B]`` in (0, 1]; ones where the rule has none.
        indices: which transitions they start from, int32 ``[B]``, for ``reprioritise``.
    """

    batch: NStepBatch
    weights: jax.Array
    indices: jax.Array


def create(
    example: Transition,
    replay_size: int,
    num_envs: int,
    rollout_length: int,
    n_step: int = 1,
    prioritise: bool = False,
) -> Replay:
    """Return an empty replay.

    Args:
        example: one transition without leading axes; what it has is what is stored.
        replay_size: transitions to hold, rounded down to whole rollouts.
        num_envs: parallel environments.
        rollout_length: rows of one ``add``.
        n_step: rows of a window.
        prioritise: whether ``rules.Prioritised`` can draw.

    Raises:
        ConfigurationError: if it is too small for one rollout or one window; with priorities, for both.
    """
    ring = transitions.replay_of(example, replay_size, num_envs, rollout_length, n_step)
    if prioritise:
        prioritised.check_rows(ring.capacity, rollout_length, n_step)
    priorities = prioritised.init(ring.capacity * num_envs) if prioritise else None
    return Replay(ring=ring, priorities=priorities, queue=None, n_step=n_step)


def create_tiled(
    example: Transition,
    block_size: int,
    copies: int,
    num_envs: int,
    rollout_length: int,
    requeue_terminations: bool = True,
) -> Replay:
    """Return an empty replay of single steps that its first block fills, and in which terminations never fade.

    Args:
        example: one transition without leading axes; what it has is what is stored.
        block_size: transitions of the block, rounded down to whole rollouts; from then on the replay is full.
        copies: how often the block is tiled, one copy after the other.
        num_envs: parallel environments.
        rollout_length: rows of one ``add``.
        requeue_terminations: if not, they fade as all else.

    Raises:
        ConfigurationError: if the block is too small for one rollout, or there is no copy.
    """
    block = transitions.replay_rows("block_size", block_size, num_envs, rollout_length, 1)
    ring = rings.init(example, block * copies, num_envs)
    queue = requeue.init(ring.capacity, num_envs, block, requeue_terminations)
    return Replay(ring=ring, priorities=None, queue=queue, n_step=1)


def add(replay: Replay, rollout: Transition, count: int | jax.Array) -> Replay:
    """Store a rollout ``[T, N]``, over the oldest rows; what the example had not is dropped.

    Args:
        replay: the replay; in place if its buffers are donated.
        rollout: fresh transitions; ``T`` is the ``rollout_length`` of ``create``.
        count: rows ever written, these included.

    Raises:
        ConfigurationError: if the rollout lacks something that the replay stores, or its length does not fit.
    """
    rows = transitions.kept(replay.ring.data, rollout)
    num_rows = rollout.reward.shape[0]
    before = count - num_rows
    if replay.queue is not None:
        ring, queue = requeue.write(replay.ring, replay.queue, rows, before)
        return dataclasses.replace(replay, ring=ring, queue=queue)
    ring, priorities = rings.add(replay.ring, rows, before), replay.priorities
    if priorities is not None:
        priorities = prioritised.admit(priorities, before, num_rows, ring.num_envs, replay.n_step)
    return dataclasses.replace(replay, ring=ring, priorities=priorities)


def ready(replay: Replay, count: int | jax.Array) -> jax.Array:
    """Whether there is anything to sample, bool: one whole window, or the block that fills the replay."""
    return jnp.asarray(count) >= (replay.n_step if replay.queue is None else replay.queue.block)


def sample(
    replay: Replay,
    count: int | jax.Array,
    key: Key,
    batch_size: int,
    rule: Rule,
    discount: float | jax.Array,
) -> Sample:
    """Draw a minibatch of n-step transitions, with replacement; the replay must be ``ready``.

    Args:
        replay: the replay.
        count: rows ever written.
        key: key of this draw.
        batch_size: ``B``.
        rule: how to draw.
        discount: discount of one step, for the rewards within a window.

    Raises:
        ConfigurationError: if the rule needs priorities that the replay has not.
    """
    row, env, weights = _draw(replay, count, key, batch_size, rule)
    batch = windows_from(replay.ring, row, env, replay.n_step, discount)
    return Sample(batch=batch, weights=weights, indices=row * replay.ring.num_envs + env)


def reprioritise(replay: Replay, indices: jax.Array, priorities: jax.Array) -> Replay:
    """Set the priorities of transitions just sampled.

    Args:
        replay: the replay, with no ``add`` since the sample: its rows might be other ones by now.
        indices: as ``sample`` returned them, int32 ``[B]``; of a duplicate's priorities the largest holds.
        priorities: float32 ``[B]``, not negative and already raised to the power alpha; 0 is never drawn again.

    Raises:
        ConfigurationError: if the replay has no priorities.
    """
    tree = prioritised.set_priorities(_priorities(replay), indices, priorities)
    return dataclasses.replace(replay, priorities=tree)


def newest_in_order(replay: Replay, count: int | jax.Array, n: int) -> tuple[Transition, jax.Array]:
    """Return the newest ``n`` transitions, oldest first: by row, and by environment within a row.

    Args:
        replay: the replay.
        count: rows ever written.
        n: transitions, at most the replay's.

    Returns:
        Transitions with leaves ``[n, ...]``, and how many of them there are, int32: while fewer than ``n`` were
        written these are the last ones, and those in front of them are zeros.

    Raises:
        ConfigurationError: if the replay does not hold ``n``, or re-queues old ones as if they were new.
    """
    ring = replay.ring
    num_rows = -(-n // ring.num_envs)
    if not 1 <= num_rows <= ring.capacity or replay.queue is not None:
        raise ConfigurationError(
            f"the newest {n} transitions in order cannot be read from a replay of {ring.capacity} rows of "
            f"{ring.num_envs} environments; take between 1 and all of them, of a replay that is not tiled"
        )
    # Rows before the first one are those that have never been written: zeros, as created.
    rows = (count - num_rows + jnp.arange(num_rows)) % ring.capacity
    newest = jax.tree.map(lambda leaf: leaf[rows].reshape(-1, *leaf.shape[2:])[-n:], ring.data)
    return newest, jnp.minimum(rings.size(ring, count) * ring.num_envs, n)


def _num_starts(replay: Replay, count: int | jax.Array) -> jax.Array:
    """Rows that may be drawn once the replay is ready, int32."""
    if replay.queue is not None:
        return jnp.int32(replay.ring.capacity)
    return valid_starts(replay.ring, count, replay.n_step)


def _draw(
    replay: Replay, count: int | jax.Array, key: Key, batch_size: int, rule: Rule
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return physical rows, environments and importance weights, each ``[B]``."""
    ring, starts = replay.ring, _num_starts(replay, count)
    match rule:
        case Prioritised(beta):
            indices, probabilities = prioritised.sample(_priorities(replay), key, batch_size)
            row, env = jnp.divmod(indices, ring.num_envs)
            return row, env, prioritised.importance_weights(probabilities, starts * ring.num_envs, beta)
        case Uniform():
            offset, env = sampling.uniform(key, starts, ring.num_envs, batch_size)
        case Newest(window):
            offset, env = sampling.newest(key, starts, ring.num_envs, batch_size, window)
        case ByAge(inverse_cdf):
            offset, env = sampling.by_age(key, starts, ring.num_envs, batch_size, inverse_cdf)
    if replay.queue is not None:
        row = requeue.physical_row(ring, replay.queue, offset, env)
    else:
        row = rings.physical_row(ring, count, offset)
    return row, env, jnp.ones(batch_size)


def _priorities(replay: Replay) -> SumTree:
    """The priorities, which must be there."""
    if replay.priorities is None:
        raise ConfigurationError("this replay has no priorities; create it with prioritise=True")
    return replay.priorities
