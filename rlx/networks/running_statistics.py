"""Mean and variance of a stream of arrays, and normalisation by them.

The moments are means and not sums, so that a count weighs new data only and cannot bias them. Count and moments keep
about 48 bits (`rlx.sums`): in plain float32 a count of samples sticks at 2**24, and later ones weigh too much.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.networks.inputs import as_float
from rlx.sums import Sum

# Added to the variance: a constant feature is divided by 1e-4 and not by 0.
_EPSILON = 1e-8


@struct.dataclass
class RunningStatistics:
    """Moments of the samples seen so far.

    Attributes:
        count: scalar, number of samples; before any data 0, or the weight to begin with.
        mean: ``[*shape]``.
        m2: ``[*shape]``, second central moment: the mean squared distance from ``mean``.
    """

    count: Sum
    mean: Sum
    m2: Sum


def init(shape: tuple[int, ...], start_count: float | jax.Array = 0.0) -> RunningStatistics:
    """Statistics of no samples of the given shape.

    Args:
        shape: of a sample.
        start_count: weight, in samples, of a mean of 0 and a variance of 1 to begin with, at least 0.
    """
    count, nothing = Sum.zeros().add(start_count), Sum.zeros(shape)
    m2 = jnp.broadcast_to(jnp.where(count.value > 0, jnp.float32(1.0), 0.0), shape)
    return RunningStatistics(count=count, mean=nothing, m2=nothing.add(m2))


def update(stats: RunningStatistics, batch: jax.Array) -> RunningStatistics:
    """Take in a batch ``[B..., *shape]`` of any number of leading axes and any dtype."""
    shape = stats.mean.total.shape
    chex.assert_shape(batch, (..., *shape))
    samples = as_float(batch.reshape((-1, *shape)))
    # Sums of distances from one sample keep the digits that sums of large values of small spread would lose.
    shifted = samples - samples[0]
    mean_shift = shifted.mean(axis=0)
    m2 = jnp.square(shifted - mean_shift).mean(axis=0)
    # Chan et al. 1983, in means and not sums.
    count = stats.count.add(samples.shape[0])
    weight = samples.shape[0] / count.value
    delta = (samples[0] - stats.mean.total) + (mean_shift - stats.mean.rest)
    return RunningStatistics(
        count=count,
        mean=stats.mean.add(weight * delta),
        m2=stats.m2.add(weight * (m2 - stats.m2.value + (1.0 - weight) * jnp.square(delta))),
    )


def variance(stats: RunningStatistics) -> jax.Array:
    """Population variance ``[*shape]``; 1 before the second sample, since one has no spread."""
    return jnp.where(stats.count.value > 1, stats.m2.value, 1.0)


def normalise(stats: RunningStatistics, x: jax.Array, clip: float = 10.0) -> jax.Array:
    """Bring ``x [..., *shape]`` to zero mean and unit variance, clipped to ``[-clip, clip]``; float32.

    Before any data this only clips.
    """
    centred = (as_float(x) - stats.mean.total) - stats.mean.rest
    return jnp.clip(centred * jax.lax.rsqrt(variance(stats) + _EPSILON), -clip, clip)
