"""Mean and variance of a stream of arrays, and normalisation by them.

Everything is float32, which counts exactly only up to 2**24: beyond that a count of samples stops growing,
and a sum of squares that grows on would give a wrong variance. Two choices keep the statistics sound at any
length. The moments are means and not sums, so the count only weighs new data and cannot bias them.
And the count is capped at 2**24, 17 million samples: up to there the statistics are those of all samples;
beyond, a batch of ``b`` weighs ``b / 2**24``, so they follow an exponential window of that length. Rounding
then leaves the variance within 10 % for batches of one sample, and far closer for larger ones.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.networks.inputs import as_float

MAX_COUNT = 2.0**24

# Added to the variance: a constant feature is divided by 1e-4 and not by 0.
_EPSILON = 1e-8


@struct.dataclass
class RunningStatistics:
    """Moments of the samples seen so far, all float32.

    Attributes:
        count: scalar, number of samples, at most ``MAX_COUNT``; 0 before any data.
        mean: ``[*shape]``.
        m2: ``[*shape]``, second central moment: the mean squared distance from ``mean``.
    """

    count: jax.Array
    mean: jax.Array
    m2: jax.Array


def init(shape: tuple[int, ...]) -> RunningStatistics:
    """Statistics of no samples of the given shape."""
    return RunningStatistics(
        count=jnp.zeros((), jnp.float32), mean=jnp.zeros(shape, jnp.float32), m2=jnp.zeros(shape, jnp.float32)
    )


def update(stats: RunningStatistics, batch: jax.Array) -> RunningStatistics:
    """Take in a batch ``[B..., *shape]`` of any number of leading axes and any dtype."""
    shape = stats.mean.shape
    chex.assert_shape(batch, (..., *shape))
    samples = as_float(batch.reshape((-1, *shape)))
    # Sums of distances from one sample keep the digits that sums of large values of small spread would lose.
    shifted = samples - samples[0]
    mean_shift = shifted.mean(axis=0)
    batch_stats = RunningStatistics(
        count=jnp.asarray(samples.shape[0], jnp.float32),
        mean=samples[0] + mean_shift,
        m2=jnp.square(shifted - mean_shift).mean(axis=0),
    )
    return merge(stats, batch_stats)


def merge(a: RunningStatistics, b: RunningStatistics) -> RunningStatistics:
    """Statistics of the samples of ``a`` and ``b`` together (Chan et al. 1983, in means and not sums)."""
    count = a.count + b.count
    weight = b.count / jnp.maximum(count, 1.0)
    delta = b.mean - a.mean
    return RunningStatistics(
        count=jnp.minimum(count, MAX_COUNT),
        mean=a.mean + weight * delta,
        m2=a.m2 + weight * (b.m2 - a.m2 + (1.0 - weight) * jnp.square(delta)),
    )


def variance(stats: RunningStatistics) -> jax.Array:
    """Population variance ``[*shape]``; 1 before any data."""
    return jnp.where(stats.count > 0, stats.m2, 1.0)


def normalise(stats: RunningStatistics, x: jax.Array, clip: float = 10.0) -> jax.Array:
    """Bring ``x [..., *shape]`` to zero mean and unit variance, clipped to ``[-clip, clip]``; float32.

    Before any data this only clips.
    """
    centred = as_float(x) - stats.mean
    return jnp.clip(centred * jax.lax.rsqrt(variance(stats) + _EPSILON), -clip, clip)
