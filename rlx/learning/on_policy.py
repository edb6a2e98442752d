"""Learning from one rollout and forgetting it: advantages, losses of a minibatch, epochs of minibatches."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.networks import running_statistics
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import policy_loss, returns
from rlx.ops.optimisers import Optimiser
from rlx.ops.shuffle import shuffled_indices
from rlx.types import Clock, Key, Memory, Metrics, PyTree, Transition

Losses = dict[str, jax.Array]


@struct.dataclass
class Batch:
    """What a policy gradient needs of each transition; leading axis ``[T * N]``, ``[B]`` in a minibatch."""

    obs: jax.Array
    action: jax.Array
    action_mask: jax.Array | None
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    value_target: jax.Array


def check_minibatches(batch_size: int, num_minibatches: int) -> None:
    """Refuse a batch that cannot be cut into equal minibatches.

    Raises:
        ConfigurationError: if it cannot.
    """
    if batch_size % num_minibatches:
        raise ConfigurationError(
            f"num_envs * rollout_length = {batch_size} cannot be cut into num_minibatches = "
            f"{num_minibatches} equal parts; choose a divisor of {batch_size}"
        )


def check_spread(batch_size: int, num_minibatches: int, remedy: str) -> None:
    """Refuse to standardise single advantages, which have no spread.

    Args:
        batch_size: advantages in a batch.
        num_minibatches: parts in which they are standardised; 1 for all together.
        remedy: which settings to change.

    Raises:
        ConfigurationError: if a part has fewer than two.
    """
    if batch_size // num_minibatches < 2:
        raise ConfigurationError(
            f"num_envs * rollout_length = {batch_size} in num_minibatches = {num_minibatches} leaves single "
            f"advantages, which have no spread to be standardised by; {remedy}"
        )


def normalised(statistics: RunningStatistics | None, obs: jax.Array) -> jax.Array:
    """Observations standardised by ``statistics``, if there are any."""
    return obs if statistics is None else running_statistics.normalise(statistics, obs)


def updated(statistics: RunningStatistics | None, obs: jax.Array) -> RunningStatistics | None:
    """The statistics, if there are any, after observations ``[..., *obs_shape]`` as well."""
    return None if statistics is None else running_statistics.update(statistics, obs)


# For agents whose state has ``statistics`` that take in every timestep before it is acted on.
STATISTICS = Memory(
    start=lambda state, num_envs: state.statistics,
    observe=lambda state, statistics, timestep: running_statistics.update(statistics, timestep.obs),
    of_state=True,
)


def without_truncations(rollout: Transition) -> Transition:
    """``rollout`` as if time limits were terminations, as some released code takes them."""
    ended = rollout.terminated | rollout.truncated
    return dataclasses.replace(rollout, terminated=ended, truncated=jnp.zeros_like(ended))


def make_batch(
    rollout: Transition,
    obs: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    discount: float | jax.Array,
    trace_decay: float | jax.Array,
) -> Batch:
    """Generalised advantages and value targets of a rollout ``[T, N]``, flattened to ``[T * N]``.

    Args:
        rollout: with ``extras["log_prob"]``, that of its actions when they were taken.
        obs: its observations as the networks see them, ``[T, N, ...]``.
        value: of the states acted in, ``[T, N]``.
        next_value: of the states they led to, before any reset, ``[T, N]``.
        discount: of one step, in [0, 1].
        trace_decay: lambda, in [0, 1].
    """
    advantage = jax.vmap(returns.gae, in_axes=(1, 1, 1, 1, 1, None, None), out_axes=1)(
        rollout.reward, value, next_value, rollout.terminated, rollout.truncated, discount, trace_decay
    )
    batch = Batch(
        obs=obs,
        action=rollout.action,
        action_mask=rollout.action_mask,
        log_prob=rollout.extras["log_prob"],
        value=value,
        advantage=advantage,
        value_target=advantage + value,
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def standardise(x: jax.Array, ddof: int = 0, epsilon: float = 1e-8) -> jax.Array:
    """``x`` shifted and scaled to mean 0 and standard deviation 1.

    Args:
        x: float ``[...]``, at least two numbers.
        ddof: 0 divides by the deviation of a population, 1 by that of a sample.
        epsilon: is added to the deviation.

    Raises:
        ConfigurationError: if there is one number only.
    """
    if x.size < 2:
        raise ConfigurationError("one number has no spread to be standardised by; standardise at least two together")
    return (x - x.mean()) / (x.std(ddof=ddof) + epsilon)


def surrogates(log_ratio: jax.Array, advantage: jax.Array, clip_epsilon: float | jax.Array) -> jax.Array:
    """The clipped surrogate of each sample ``[B]`` (Schulman et al. 2017, eq. 7), to be minimised."""
    return jax.vmap(policy_loss.clipped_surrogate, in_axes=(0, 0, None))(log_ratio, advantage, clip_epsilon)


def mean_value_loss(value: jax.Array, batch: Batch, clip_epsilon: float | jax.Array | None) -> jax.Array:
    """Half the squared error of values ``[B]``, averaged; held near the old values unless ``clip_epsilon`` is None."""
    if clip_epsilon is None:
        return (0.5 * jnp.square(value - batch.value_target)).mean()
    losses = jax.vmap(policy_loss.clipped_value_loss, in_axes=(0, 0, 0, None))(
        value, batch.value, batch.value_target, clip_epsilon
    )
    return losses.mean()


def ratio_metrics(log_ratio: jax.Array, clip_epsilon: float | jax.Array) -> Losses:
    """How far the policy has moved from the one that collected the data: ``approx_kl`` and ``clip_fraction``."""
    return {
        "approx_kl": policy_loss.approx_kl(log_ratio).mean(),
        "clip_fraction": (jnp.abs(jnp.expm1(log_ratio)) > clip_epsilon).mean(),
    }


def minibatch_epochs(
    loss: Callable[[PyTree, PyTree], tuple[jax.Array, Losses]],
    optimiser: Optimiser,
    learning_rate: float | jax.Array,
    learner: tuple[PyTree, PyTree],
    batch: PyTree,
    key: Key,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[tuple[PyTree, PyTree], Losses]:
    """Descend ``loss(params, minibatch) -> (loss, metrics)`` over shuffled minibatches of ``batch`` ``[B, ...]``.

    Minibatches are gathered by index inside the scan; the indices come from a bijection of ``range(B)`` that is
    new in each epoch, so each epoch visits each row once without sorting or copying the batch.

    Returns:
        The learner, parameters and optimiser's state as ``learner`` was, and the metrics of each update,
        ``[num_epochs * num_minibatches]``.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    minibatch_size = size // num_minibatches
    epoch_keys = jax.random.split(key, num_epochs)
    starts = jnp.arange(num_minibatches) * minibatch_size

    def step(learner: tuple[PyTree, PyTree], which: tuple[Key, jax.Array]) -> tuple[tuple[PyTree, PyTree], Losses]:
        params, opt_state = learner
        indices = shuffled_indices(which[0], size, which[1], minibatch_size)
        minibatch = jax.tree.map(lambda x: x[indices], batch)
        grads, metrics = jax.grad(loss, has_aux=True)(params, minibatch)
        return optimiser.step(grads, opt_state, params, learning_rate), metrics

    order = (jnp.repeat(epoch_keys, num_minibatches), jnp.tile(starts, num_epochs))
    return jax.lax.scan(step, learner, order)


def progress_in_events(clock: Clock) -> jax.Array:
    """Share of the learning events that the budget holds whole which had passed before this one, in [0, 1]."""
    return jnp.minimum(clock.before.iterations / jnp.maximum(clock.total_iterations, 1), 1.0)


def metrics_of(updates: Losses, last: Losses | None = None) -> Metrics:
    """What an update reports, from the metrics ``[updates]`` of each of its gradient updates, and from ``last``."""
    number = jax.tree.leaves(updates)[0].shape[0]
    return Metrics(means=jax.tree.map(jnp.mean, updates), last=last or {}, updates=number)
