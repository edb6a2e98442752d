"""How far the estimates of a gradient are from another's, measured from samples of both (Nauman and Cygan 2023, C.4).

"On Many-Actions Policy Gradient", ICML 2023, https://arxiv.org/abs/2210.13011. Estimates ``[K, P]`` are independent
rows, at least 2, of ``P`` parameters. The paper's own two numbers divide by the mean of each parameter, so they measure
mostly how near to 0 the smallest means are: an unbiased method scores far from 0, and the relative variance has no
expectation. `relative_bias` and `relative_variance` divide by the norm of the reference once.
"""

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError


@struct.dataclass
class Averages:
    """Ratios ``[P]`` as one number, in three ways; float scalars.

    Attributes:
        mean: over the parameters, as the paper prints it.
        interquartile: mean over the parameters of the middle half of ratios.
        of_sums: sum of the numerators over the sum of the denominators.
    """

    mean: jax.Array
    interquartile: jax.Array
    of_sums: jax.Array


def relative_bias(estimates: jax.Array, reference: jax.Array) -> jax.Array:
    """Distance of the two means over the norm of the reference's, less what noise contributes.

    ``sqrt(max(0, |mean - ref|^2 - noise)) / |ref|`` with ``noise`` the estimated variance of ``mean - ref``.

    Args:
        estimates: float [K, P], of the method in question.
        reference: float [R, P], unbiased and independent of them.

    Returns:
        float scalar; 0 for about half of all unbiased methods.
    """
    truth = reference.mean(axis=0)
    noise = _trace_variance(estimates) / len(estimates) + _trace_variance(reference) / len(reference)
    squared = jnp.square(estimates.mean(axis=0) - truth).sum() - noise
    return jnp.sqrt(jnp.maximum(squared, 0.0)) / jnp.linalg.norm(truth)


def relative_variance(estimates: jax.Array, reference: jax.Array) -> jax.Array:
    """Trace of the covariance of one estimate ``[K, P]`` over the squared norm of the reference's mean ``[R, P]``."""
    return _trace_variance(estimates) / jnp.square(reference.mean(axis=0)).sum()


def cosine(estimates: jax.Array, reference: jax.Array) -> jax.Array:
    """Cosine of the angle between both means, of estimates ``[K, P]`` and ``[R, P]``."""
    mean, truth = estimates.mean(axis=0), reference.mean(axis=0)
    return mean @ truth / (jnp.linalg.norm(mean) * jnp.linalg.norm(truth))


def halves(estimates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Estimates ``[K, P]`` as two sets, of which one can stand for a method that differs in nothing from the other."""
    middle = len(estimates) // 2
    return estimates[:middle], estimates[middle:]


def printed_bias(mean: jax.Array, reference: jax.Array) -> Averages:
    """The paper's relative bias, ``|m_p - ac_p| / |m_p|`` on average over parameters.

    Args:
        mean: ``m``, of the method's estimates, float [P], nowhere 0.
        reference: ``ac``, of the actor-critic gradient's, float [P].
    """
    return _averages(jnp.abs(mean - reference), jnp.abs(mean))


def printed_variance(estimates: jax.Array) -> Averages:
    """The paper's relative variance, ``Var(m_p) / m_p^2`` on average over parameters, of estimates ``[K, P]``."""
    return _averages(_variance(estimates), jnp.square(estimates.mean(axis=0)))


def _averages(numerators: jax.Array, denominators: jax.Array) -> Averages:
    ratios = jnp.sort(numerators / denominators)
    quarter = len(ratios) // 4
    return Averages(
        mean=ratios.mean(),
        interquartile=ratios[quarter : len(ratios) - quarter].mean(),
        of_sums=numerators.sum() / denominators.sum(),
    )


def _trace_variance(estimates: jax.Array) -> jax.Array:
    return _variance(estimates).sum()


def _variance(estimates: jax.Array) -> jax.Array:
    if len(estimates) < 2:
        raise ConfigurationError(f"a variance needs at least 2 independent estimates, not {len(estimates)}")
    return estimates.var(axis=0, ddof=1)
