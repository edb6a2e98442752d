"""What errors of action values do to the target of Q-learning: its bias and variance (REValueD, sections 4.1 and 4.2).

The target difference is ``Z = discount * (max of estimates - max of true values)`` at a next state. In the usual
setting all true values are equal and every estimate is off by an independent error, uniform in ``[-bound, bound]``. Of
DQN each joint action has an error, of decomposed values each choice of each component, and of an ensemble each of the
``K`` critics.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlx.ops import value_decomposition as decomposition
from rlx.types import Key


class Moments(NamedTuple):
    """Mean and variance of the target difference."""

    mean: float
    variance: float


def of_joint_values(nvec: Sequence[int], bound: float = 1.0, discount: float = 1.0) -> Moments:
    """Of DQN, in closed form: the largest of ``prod(nvec)`` uniform errors."""
    mean, variance = _largest(math.prod(nvec))
    return Moments(discount * bound * mean, (discount * bound) ** 2 * variance)


def of_decomposed_values(
    nvec: Sequence[int], bound: float = 1.0, discount: float = 1.0, num_critics: int = 1
) -> Moments:
    """Of DecQN, or of an ensemble of it that averages what its members' best actions are worth, in closed form.

    The bias is DecQN's for any number of critics, and the variance falls with it.
    """
    largest = [_largest(n) for n in nvec]
    mean = sum(mean for mean, _ in largest) / len(nvec)
    variance = sum(variance for _, variance in largest) / len(nvec) ** 2
    return Moments(discount * bound * mean, (discount * bound) ** 2 * variance / num_critics)


def draw_joint(key: Key, nvec: Sequence[int], bound: float, discount: float, number: int) -> jax.Array:
    """Target differences of DQN drawn at random, float32 ``[number]``."""
    errors = jax.random.uniform(key, (number, math.prod(nvec)), minval=-bound, maxval=bound)
    return discount * errors.max(-1)


def draw_decomposed(
    key: Key,
    nvec: tuple[int, ...],
    bound: float,
    discount: float,
    number: int,
    num_critics: int = 1,
    bootstrap: str = "mean_of_max",
) -> jax.Array:
    """Target differences of ``num_critics`` critics drawn at random, float32 ``[number]``.

    Args:
        key: key of the draw.
        nvec: number of choices of each component.
        bound: of the errors.
        discount: of the target.
        number: of draws.
        num_critics: ``K``.
        bootstrap: how they make one value, a name of `rlx.ops.value_decomposition.BOOTSTRAPS`; of those that give every
            critic a value of its own, the first one's.
    """
    error_key, bootstrap_key = jax.random.split(key)
    shape = (num_critics, number, len(nvec), max(nvec))
    errors = jax.random.uniform(error_key, shape, minval=-bound, maxval=bound)
    valid = decomposition.valid_choices(nvec, None)
    values = decomposition.BOOTSTRAPS[bootstrap](errors, errors, valid, bootstrap_key)
    return discount * values.reshape(-1, number)[0]


def measured(differences: jax.Array) -> Moments:
    """Mean and variance of a sample ``[number]``."""
    return Moments(float(jnp.mean(differences)), float(jnp.var(differences, ddof=1)))


def observed(utilities: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    """What can be seen of the target difference while an ensemble learns, where true values are not known.

    Args:
        utilities: of the next states, of ``K`` > 1 target critics, ``[K, B, N, n]``.
        valid: which of their entries there are, as of `rlx.ops.value_decomposition.valid_choices`.

    Returns:
        ``target_variance``, of one critic: how much what its best action is worth to it varies over critics; the mean
        over ``K`` has ``1 / K`` of it. ``target_bias``: how much more the critics' own best actions are worth to them
        than the best one is to their mean, never negative. ``disagreement``, ``[N]``: the share of critics whose best
        choice of a component is not their mean's.
    """
    own, shared = decomposition.greedy_value(utilities, valid), decomposition.greedy_value(utilities.mean(0), valid)
    differs = decomposition.greedy(utilities, valid) != decomposition.greedy(utilities.mean(0), valid)
    return {
        "target_variance": own.var(axis=0, ddof=1).mean(),
        "target_bias": (own.mean(axis=0) - shared).mean(),
        "disagreement": differs.mean((0, 1)),
    }


def _largest(n: int) -> tuple[float, float]:
    """Mean and variance of the largest of ``n`` numbers that are uniform in [-1, 1]."""
    return (n - 1) / (n + 1), 4 * n / ((n + 1) ** 2 * (n + 2))
