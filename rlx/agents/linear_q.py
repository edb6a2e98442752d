"""Linear Q-learning and log-mapped Q-learning (van Seijen, Fatemi and Tavakoli 2019, sections 3 and 4).

Nothing acts here: a *sweep* updates every pair of state and action once, in random order, with one random outcome each.
A method is a frozen pytree of settings, and one program runs a whole scan of them, which all see the same outcomes.

The tables hold the learned values ``theta_a . phi(s)`` themselves. An update by ``delta`` moves the weights of action
``a`` by ``delta phi(s)``, hence the learned value of every state ``s'`` by ``delta phi(s) . phi(s')``: these inner
products say all that features can do, and weights matter in no other way. It is the same algorithm, without them.

Axes: ``P`` settings, ``C`` channels (one, or positive and negative rewards), ``A = 2`` actions, ``S`` states.
"""

import functools
from typing import Any, ClassVar, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, PartitionSpec

from rlx.errors import ConfigurationError
from rlx.ops import log_mapping
from rlx.ops.log_mapping import LogMapping
from rlx.types import Key, PyTree

Scalar = float | jax.Array
SWEEPS_PER_BLOCK = 100


class Task(Protocol):
    """A finite task with two actions, one of which is executed; see `rlx.envs.finite_mdp`."""

    next_state: jax.Array
    reward: jax.Array
    slip: Scalar


@struct.dataclass
class QLearning:
    """Q-learning, with a table ``[1, A, S]`` of values.

    Attributes:
        discount: of one step.
        spread: inner products of features, as `spread` lays them out, float ``[S, W]``.
        initial_value: of every pair before the first update.
        max_value: a target above it is cut; without, overlapping features and a step size of 1 diverge.
        alpha: step sizes at the start and, from sweep ``decay_sweeps`` on, at the end.
        decay_sweeps: sweeps over which step sizes decay geometrically.
    """

    num_channels: ClassVar[int] = 1

    discount: Scalar
    spread: jax.Array
    initial_value: Scalar = 0.0
    max_value: Scalar = 1.0
    alpha: tuple[Scalar, Scalar] = (1.0, 0.001)
    decay_sweeps: Scalar = 9_999.0

    @property
    def start(self) -> Scalar:
        """What the table starts with."""
        return self.initial_value

    def step_sizes(self, sweep: jax.Array) -> jax.Array:
        """``alpha`` in a sweep, ``[1]``."""
        return decayed(*self.alpha, self.decay_sweeps, sweep)[None]

    def change(
        self, value: jax.Array, next_values: jax.Array, reward: jax.Array, terminated: jax.Array, step_sizes: jax.Array
    ) -> jax.Array:
        """The update of one pair: ``alpha (U - Q(s, a))``.

        Args:
            value: of the pair, ``[1, ...]``; the axes that follow are those of the settings.
            next_values: of the next state, ``[1, A, ...]``.
            reward: scalar.
            terminated: bool scalar, whether there is no next state.
            step_sizes: of this sweep, ``[1, ...]``.

        Returns:
            float ``[1, ...]``.
        """
        bootstrap = jnp.where(terminated, 0.0, self.discount * next_values.max(axis=1))
        target = jnp.minimum(reward + bootstrap, self.max_value)  # U = min(r + g max_a Q(s', a), M)
        return step_sizes[0] * (target - value)

    def q_values(self, table: jax.Array) -> jax.Array:
        """Action values ``[A, S]``."""
        return table[0]


@struct.dataclass
class LogQLearning:
    """Log-mapped Q-learning, with a table ``[2, A, S]`` of ``y+`` and ``y-``, both 0 at the start.

    Attributes:
        discount: of one step, in (0, 1).
        spread: inner products of features, as `spread` lays them out, float ``[S, W]``.
        k: values far below ``discount**k`` count as zero; at least the longest delay of a reward in steps.
        c: scale of the log space.
        initial_value: that ``y = 0`` stands for.
        max_value: a target of either channel above it is cut.
        beta_reg: step sizes in value space, at the start and from sweep ``decay_sweeps`` on.
        beta_log: step sizes in log space, likewise.
        decay_sweeps: sweeps over which step sizes decay geometrically.
    """

    num_channels: ClassVar[int] = 2
    start: ClassVar[float] = 0.0

    discount: Scalar
    spread: jax.Array
    k: Scalar = 200.0
    c: Scalar = 1.0
    initial_value: Scalar = 0.0
    max_value: Scalar = 1.0
    beta_reg: tuple[Scalar, Scalar] = (1.0, 0.1)
    beta_log: tuple[Scalar, Scalar] = (1.0, 0.01)
    decay_sweeps: Scalar = 9_999.0

    @property
    def mapping(self) -> LogMapping:
        """``f`` and its inverse, ``f(x) = c ln(x + g^k) + d``."""
        return LogMapping(self.discount, self.k, self.c, self.initial_value, kind="offset")

    def step_sizes(self, sweep: jax.Array) -> jax.Array:
        """``beta_reg`` and ``beta_log`` in a sweep, ``[2]``."""
        sizes = (decayed(*beta, self.decay_sweeps, sweep) for beta in (self.beta_reg, self.beta_log))
        return jnp.stack(list(sizes))

    def change(
        self, value: jax.Array, next_values: jax.Array, reward: jax.Array, terminated: jax.Array, step_sizes: jax.Array
    ) -> jax.Array:
        """The update of one pair in both channels: ``beta_log (f(Uh) - y(s, a))``.

        Args:
            value: ``y`` of the pair, ``[2, ...]``; the axes that follow are those of the settings.
            next_values: ``y`` of the next state, ``[2, A, ...]``.
            reward: scalar.
            terminated: bool scalar, whether there is no next state.
            step_sizes: of this sweep, ``[2, ...]``.

        Returns:
            float ``[2, ...]``.
        """
        mapping = self.mapping
        log_value, log_next = mapping.inverse(value), mapping.inverse(next_values)  # ln(q + g^k)
        # a* = argmax_a q+(s', a) - q-(s', a), for both channels; a tie goes to action 1, as in the released code.
        q = log_mapping.combined_q(log_next[0], log_next[1], axis=0)
        bootstrap = jnp.where(q[0] > q[1], log_next[:, 0], log_next[:, 1])
        # U = min(r + g f^-1(y(s', a*)), M), of each channel's own reward
        rewards = jnp.stack(log_mapping.split_reward(reward)).reshape(2, *[1] * (value.ndim - 1))
        target = mapping.log_target(rewards, bootstrap, terminated, self.discount, self.max_value)
        # Uh = q + beta_reg (U - q): the average in value space
        averaged = log_mapping.average(log_value, target, step_sizes[0])
        # y += beta_log (f(Uh) - y): the step in log space
        return step_sizes[1] * (mapping.forward(averaged) - value)

    def q_values(self, table: jax.Array) -> jax.Array:
        """Action values ``q+ - q-`` ``[A, S]``, up to a positive factor of each state's own."""
        log_values = self.mapping.inverse(table)
        return log_mapping.combined_q(log_values[0], log_values[1], axis=0)

    def channel_values(self, table: jax.Array) -> jax.Array:
        """``q+`` and ``q-`` as far as float32 can hold them, ``[2, A, S]``."""
        return self.mapping.value(table)


Settings = QLearning | LogQLearning


def decayed(initial: Scalar, final: Scalar, decay_sweeps: Scalar, sweep: jax.Array) -> jax.Array:
    """Geometric decay by a constant factor a sweep, from ``initial`` at sweep 0 to ``final`` at ``decay_sweeps``."""
    progress = jnp.minimum(sweep / decay_sweeps, 1.0)
    return initial * (final / initial) ** progress


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
    return Samples(state, action, next_state, task.reward[state, executed], next_state == num_states)


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
class Progress:
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
) -> tuple[State, Progress]:
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
    progress = Progress(success=checks[::2].T, finite=jnp.isfinite(table).all((1, 2, 3)))
    return State(table=table, sweeps=state.sweeps + SWEEPS_PER_BLOCK * num_blocks), progress


@functools.partial(jax.jit, static_argnames="num_blocks")
def advance_seeds(
    keys: Key, task: Task, optimal_action: jax.Array, settings: Settings, states: State, num_blocks: int
) -> tuple[State, Progress]:
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
