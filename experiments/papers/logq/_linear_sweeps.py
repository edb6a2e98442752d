"""Sweeps of linear Q-learning: every pair of state and action once, many settings and seeds as one program."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, PartitionSpec
from papers.logq._linear import Settings, Task

from rlx.errors import ConfigurationError
from rlx.types import Key, PyTree

SWEEPS_PER_BLOCK = 100


def spread(features: np.ndarray, reach: int | None = None) -> jax.Array:
    """How an update in one state spreads: the inner products of its features with those of the states around it.

    Args:
        features: of every state, ``[S, F]``.
        reach: number of states beyond which all inner products are 0, such as a tile's width less 1. Settings that run
            together need the same; ``None`` takes all states.

    Returns:
        float32 ``[S, W]``, ``W = min(2 reach + 1, S)``: row ``s`` begins at state ``window_start(s, W, S)``.

    Raises:
        ConfigurationError: if some inner product further away is not 0.
    """
    num_states = len(features)
    size = num_states if reach is None else min(2 * reach + 1, num_states)
    gram = features @ features.T
    starts = np.asarray(window_start(np.arange(num_states), size, num_states))
    window = np.take_along_axis(gram, starts[:, None] + np.arange(size), axis=1)
    if np.count_nonzero(window) < np.count_nonzero(gram):
        raise ConfigurationError(f"features overlap beyond reach = {reach} states; make it larger")
    return jnp.asarray(window, jnp.float32)


def window_start(state: jax.Array | np.ndarray, size: int, num_states: int) -> jax.Array:
    """The first of the ``size`` states that an update in ``state`` spreads to."""
    return jnp.clip(state - size // 2, 0, num_states - size)


@struct.dataclass
class Samples:
    """The pairs of one sweep in their random order, and their outcomes; all ``[S * A]``.

    Attributes:
        state: int32, the state to update.
        action: int32, the chosen action, which is updated.
        next_state: int32, after the executed action; ``S`` is the end.
        reward: float32, of the executed action.
        terminated: bool, whether ``next_state`` is the end.
    """

    state: jax.Array
    action: jax.Array
    next_state: jax.Array
    reward: jax.Array
    terminated: jax.Array


def draw(key: Key, task: Task) -> Samples:
    """Every pair once, in random order, with a random outcome each, all drawn before the first update."""
    num_states, num_actions = task.reward.shape
    order_key, slip_key = jax.random.split(key)
    order = jax.random.permutation(order_key, num_states * num_actions)
    state, action = jnp.divmod(order, num_actions)
    slips = jax.random.bernoulli(slip_key, task.slip, order.shape)
    executed = jnp.where(slips, 1 - action, action)
    next_state = task.next_state[state, executed]
    reward = jnp.asarray(task.reward, jnp.float32)[state, executed]
    return Samples(state, action, next_state, reward, next_state == num_states)


def sweep(settings: Settings, tables: jax.Array, samples: Samples, number: jax.Array) -> jax.Array:
    """Update the tables ``[C, A, S, P]`` of all settings ``[P]`` with the samples of sweep ``number``, one by one."""
    chex.assert_shape(tables, (settings.num_channels, 2, settings.spread.shape[1], settings.spread.shape[0]))
    num_channels, _, num_states, num_settings = tables.shape
    spreads = jnp.moveaxis(settings.spread, 0, -1)
    size = spreads.shape[1]
    step_sizes = settings.step_sizes(number)

    def update(tables: jax.Array, sample: Samples) -> tuple[jax.Array, None]:
        state, action = sample.state, sample.action
        next_state = jnp.minimum(sample.next_state, num_states - 1)  # any: the end has no value
        value, next_values = computed((tables[:, action, state], tables[:, :, next_state]), state)
        change = computed(settings.change(value, next_values, sample.reward, sample.terminated, step_sizes), state)
        start = (0, action, window_start(state, size, num_states), 0)
        window = jax.lax.dynamic_slice(tables, start, (num_channels, 1, size, num_settings))
        return jax.lax.dynamic_update_slice(tables, window + spreads[state] * change[:, None, None], start), None

    return jax.lax.scan(update, tables, samples)[0]


def computed(x: PyTree, state: jax.Array) -> PyTree:
    """``x``, by way of a branch that is always taken, since a state is at least 0.

    XLA would fuse the arithmetic of an update with the slicing before it and the spreading after it; on CPU it then
    does not vectorise it, or repeats it for every state it spreads to. Kept apart, a sweep takes half the time.
    """
    return jax.lax.cond(state >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), x)


@struct.dataclass
class State:
    """What a run has learned: ``table`` float ``[P, C, A, S]``, after ``sweeps`` sweeps, int32."""

    table: jax.Array
    sweeps: jax.Array


@struct.dataclass
class Checks:
    """How the runs of one `advance` went.

    Attributes:
        success: bool ``[P, num_blocks]``, whether the greedy action was optimal in all states after the first sweep of
            each block.
        finite: bool ``[P]``, whether all learned values are finite at the end.
    """

    success: jax.Array
    finite: jax.Array


def init(settings: Settings) -> State:
    """The state before the first sweep, of settings with leaves ``[P, ...]``."""
    num_states = settings.spread.shape[1]
    table = jax.vmap(lambda s: jnp.full((s.num_channels, 2, num_states), s.start, jnp.float32))(settings)
    return State(table=table, sweeps=jnp.zeros((), jnp.int32))


def succeeds(settings: Settings, table: jax.Array, optimal_action: jax.Array) -> jax.Array:
    """Whether the greedy action is optimal in all states; a tie counts as action 0, what is not finite as a failure."""
    q = settings.q_values(table)
    return ((q[1] > q[0]) == optimal_action).all() & jnp.isfinite(table).all()


def advance(
    key: Key, task: Task, optimal_action: jax.Array, settings: Settings, state: State, num_blocks: int
) -> tuple[State, Checks]:
    """Learn for ``num_blocks`` blocks of 100 sweeps, with one seed and many settings.

    Outcomes depend on the key and the number of the sweep alone: calling this twice gives what one longer call gives.

    Args:
        key: of the seed.
        task: what to learn, the same for all settings.
        optimal_action: int32 ``[S]``, what success means.
        settings: one method with leaves ``[P, ...]``.
        state: of `init` or of the call before.
        num_blocks: at least 1.
    """

    def one_sweep(number: jax.Array, tables: jax.Array) -> jax.Array:
        return sweep(settings, tables, draw(jax.random.fold_in(key, number), task), number)

    def part(tables: jax.Array, bounds: jax.Array) -> tuple[jax.Array, jax.Array]:
        tables = jax.lax.fori_loop(bounds[0], bounds[1], one_sweep, tables)
        return tables, jax.vmap(succeeds, (0, -1, None))(settings, tables, optimal_action)

    # Each block is one sweep, a check, and 99 sweeps whose check is not asked for.
    starts = state.sweeps + SWEEPS_PER_BLOCK * jnp.arange(num_blocks)
    bounds = jnp.stack([starts, starts + 1, starts + 1, starts + SWEEPS_PER_BLOCK], axis=1).reshape(-1, 2)
    tables, checks = jax.lax.scan(part, jnp.moveaxis(state.table, 0, -1), bounds)
    table = jnp.moveaxis(tables, -1, 0)
    progress = Checks(success=checks[::2].T, finite=jnp.isfinite(table).all((1, 2, 3)))
    return State(table=table, sweeps=state.sweeps + SWEEPS_PER_BLOCK * num_blocks), progress


@functools.partial(jax.jit, static_argnames="num_blocks")
def advance_seeds(
    keys: Key, task: Task, optimal_action: jax.Array, settings: Settings, states: State, num_blocks: int
) -> tuple[State, Checks]:
    """`advance` for ``keys`` and ``states`` with leading seed axes, spread over all devices that share them evenly.

    A device runs one seed after the other: outcomes then are scalars of the program, and what they select is sliced,
    not gathered.
    """
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if len(keys) % n == 0)
    mesh, split, whole = Mesh(np.array(devices[:count]), ("seeds",)), PartitionSpec("seeds"), PartitionSpec()

    def one_after_the_other(keys: Key, states: State, task: Any, optimal_action: Any, settings: Any) -> Any:
        one = lambda seed: advance(seed[0], task, optimal_action, settings, seed[1], num_blocks)  # noqa: E731
        return jax.lax.map(one, (keys, states))

    sharded = jax.shard_map(
        one_after_the_other, mesh=mesh, in_specs=(split, split, whole, whole, whole), out_specs=split, check_vma=False
    )
    return sharded(keys, states, task, optimal_action, settings)


def init_seeds(settings: Settings, num_seeds: int) -> State:
    """`init`, the same for every seed, with leading seed axes."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_seeds, *leaf.shape)), init(settings))


def stack(settings: list[Settings]) -> Settings:
    """Settings of one method as one pytree with leaves ``[P, ...]``."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf, jnp.float32) for leaf in leaves]), *settings)
