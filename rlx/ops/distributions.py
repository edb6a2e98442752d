"""The four action distributions: pytrees with ``sample``, ``mode``, ``log_prob`` and ``entropy``.

Leading axes ``[...]`` are batch axes. Discrete actions are drawn through the inverse distribution function,
which takes one random number a draw; the Gumbel trick takes one per action, and up to five times as long on CPU.
"""

import itertools
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.types import ActionSpace, Box, Discrete, Key, MultiDiscrete

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@struct.dataclass
class Categorical:
    """A choice among ``A`` actions, of which a mask may forbid some.

    A forbidden action has probability exactly 0 and its logit gradient exactly 0; its ``log_prob`` is a huge
    negative number, not an infinity. Where the mask forbids every action there is nothing to choose: all are
    drawn with equal probability, ``mode`` is action 0, and ``log_prob``, entropy, divergence and all gradients
    are exactly 0 (Huang and Ontañón 2022 meet this where a task asks nothing of a component).

    Attributes:
        logits: float [..., A], unnormalised log-probabilities.
        mask: bool [..., A], True where an action is valid; ``None`` where all are.
    """

    logits: jax.Array
    mask: jax.Array | None = None

    @property
    def log_probs(self) -> jax.Array:
        """``ln pi'`` with ``pi' = softmax(inv(l))``, float [..., A], of all actions; 0 where none is valid."""
        log_probs = jax.nn.log_softmax(self._masked_logits())
        # Not left to rounding, which gives 0 or -log(A) by the size of the constant that masks and by the precision.
        return log_probs if self.mask is None else jnp.where(self.mask.any(-1, keepdims=True), log_probs, 0.0)

    @property
    def probabilities(self) -> jax.Array:
        """Of all actions, float [..., A]; 1 where none is valid."""
        return jnp.exp(self.log_probs)

    def quantile(self, level: jax.Array) -> jax.Array:
        """The inverse distribution function, by which ``sample`` draws.

        Args:
            level: float [...], in [0, 1).

        Returns:
            int32 [...], the first possible action whose cumulative probability exceeds ``level``.
        """
        logits = self._masked_logits().astype(jnp.float32)
        weights = jnp.exp(logits - logits.max(-1, keepdims=True))
        # Rounding in the sum must not let a forbidden action through: hence 0 there, and the largest as total.
        cumulative = jnp.where(weights > 0.0, jnp.cumsum(weights, -1), 0.0)
        threshold = level[..., None] * cumulative.max(-1, keepdims=True)
        return jnp.argmax(cumulative > threshold, -1).astype(jnp.int32)

    def sample(self, key: Key) -> jax.Array:
        """Draw int32 [...]; actions of probability below 1e-7 are drawn only roughly in proportion."""
        return self.quantile(jax.random.uniform(key, self.logits.shape[:-1]))

    def mode(self) -> jax.Array:
        """The likeliest valid action, int32 [...]; the first of equals, and action 0 where none is valid."""
        return jnp.argmax(self._masked_logits(), -1).astype(jnp.int32)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-probabilities [...] of int32 actions [...]."""
        return jnp.take_along_axis(self.log_probs, action[..., None], -1)[..., 0]

    def entropy(self) -> jax.Array:
        """Entropy [...] in nats."""
        log_probs = self.log_probs
        return -_expectation(jnp.exp(log_probs), log_probs)

    def kl(self, other: "Categorical") -> jax.Array:
        """Divergence [...] of ``other`` from this one; huge where ``other`` forbids what this one allows."""
        log_probs = self.log_probs
        divergence = _expectation(jnp.exp(log_probs), log_probs - other.log_probs)
        return divergence if self.mask is None else jnp.where(self.mask.any(-1), divergence, 0.0)

    def _masked_logits(self) -> jax.Array:
        if self.mask is None:
            return self.logits
        # inv(l)_i = l_i if m_i else M (Huang and Ontañón 2022), M the least float there is
        return jnp.where(self.mask, self.logits, jnp.finfo(self.logits.dtype).min)


@struct.dataclass
class FactoredCategorical:
    """``D`` independent choices, one :class:`Categorical` each; actions are vectors [..., D].

    Neighbouring components of one size are computed together; none is padded to the width of another, which
    took 1.6 to 4 times as long on CPU.

    Attributes:
        logits: float [..., sum(nvec)], component after component.
        nvec: number of choices of each component.
        mask: bool [..., sum(nvec)], True where a choice is valid; ``None`` where all are. A component without
            a valid choice draws any of its choices and adds nothing to ``log_prob``, entropy, divergence and
            gradients.
    """

    logits: jax.Array
    nvec: tuple[int, ...] = struct.field(pytree_node=False)
    mask: jax.Array | None = None

    def sample(self, key: Key) -> jax.Array:
        """Draw int32 [..., D]."""
        levels = jax.random.uniform(key, (*self.logits.shape[:-1], len(self.nvec)))
        draws = [run.quantile(level) for run, level in zip(self._runs(), self._split(levels), strict=True)]
        return jnp.concatenate(draws, -1)

    def mode(self) -> jax.Array:
        """The likeliest valid choice of each component, int32 [..., D]; choice 0 where none is valid."""
        return jnp.concatenate([run.mode() for run in self._runs()], -1)

    @property
    def probabilities(self) -> jax.Array:
        """Of all choices, float [..., sum(nvec)], component after component; 1 where none of a component is valid."""
        runs = [run.probabilities for run in self._runs()]
        return jnp.concatenate([run.reshape(*run.shape[:-2], -1) for run in runs], -1)

    def component_log_prob(self, action: jax.Array) -> jax.Array:
        """Log-probabilities [..., D] of the components of int32 actions [..., D]."""
        pairs = zip(self._runs(), self._split(action), strict=True)
        return jnp.concatenate([run.log_prob(part) for run, part in pairs], -1)

    def component_entropy(self) -> jax.Array:
        """Entropies [..., D] of the components in nats."""
        return jnp.concatenate([run.entropy() for run in self._runs()], -1)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-probabilities [...] of int32 actions [..., D]."""
        return self.component_log_prob(action).sum(-1)

    def entropy(self) -> jax.Array:
        """Entropy [...] in nats."""
        return self.component_entropy().sum(-1)

    def kl(self, other: "FactoredCategorical") -> jax.Array:
        """Divergence [...] of ``other`` from this one."""
        pairs = zip(self._runs(), other._runs(), strict=True)
        return jnp.concatenate([run.kl(others) for run, others in pairs], -1).sum(-1)

    def _runs(self) -> list[Categorical]:
        """One batched categorical [..., length, size] for each run of equal sizes in ``nvec``."""
        chex.assert_axis_dimension(self.logits, -1, sum(self.nvec))
        runs, start = [], 0
        for size, length in _run_lengths(self.nvec):
            part = slice(start, start + size * length)
            logits = _fold(self.logits[..., part], size)
            mask = None if self.mask is None else _fold(self.mask[..., part], size)
            runs.append(Categorical(logits, mask))
            start += size * length
        return runs

    def _split(self, x: jax.Array) -> list[jax.Array]:
        """Cut the component axis of ``x`` [..., D] into the runs."""
        chex.assert_axis_dimension(x, -1, len(self.nvec))
        lengths = [length for _, length in _run_lengths(self.nvec)]
        return jnp.split(x, list(itertools.accumulate(lengths))[:-1], -1)


@struct.dataclass
class Normal:
    """A Gaussian with independent dimensions.

    Attributes:
        mean: float [..., D].
        log_std: float [..., D] or [D], logarithm of the standard deviation.
    """

    mean: jax.Array
    log_std: jax.Array

    def sample(self, key: Key) -> jax.Array:
        """Draw float [..., D], differentiable in the parameters."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> jax.Array:
        """The mean, float [..., D]."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-densities [...] of actions [..., D]."""
        return _normal_log_density((action - self.mean) * jnp.exp(-self.log_std), self.log_std)

    def entropy(self) -> jax.Array:
        """Differential entropy [...] in nats."""
        return jnp.broadcast_to(self.log_std + 0.5 + _HALF_LOG_TWO_PI, self.mean.shape).sum(-1)

    def kl(self, other: "Normal") -> jax.Array:
        """Divergence [...] of ``other`` from this one."""
        shift = (self.mean - other.mean) * jnp.exp(-other.log_std)
        log_scale = self.log_std - other.log_std
        # expm1(2x) - 2x and not exp(2x) - 1 - 2x: near-equal policies are the common case.
        return 0.5 * (jnp.square(shift) + jnp.expm1(2.0 * log_scale) - 2.0 * log_scale).sum(-1)


@struct.dataclass
class TanhNormal:
    """The hyperbolic tangent of a Gaussian, on [-1, 1] (Haarnoja et al. 2018, appendix C).

    Attributes:
        mean: float [..., D], of the Gaussian.
        log_std: float [..., D] or [D], of the Gaussian.
    """

    mean: jax.Array
    log_std: jax.Array

    def sample(self, key: Key) -> jax.Array:
        """Draw float [..., D] in [-1, 1], differentiable in the parameters."""
        return jnp.tanh(Normal(self.mean, self.log_std).sample(key))

    def sample_and_component_log_prob(self, key: Key) -> tuple[jax.Array, jax.Array]:
        """Draw as ``sample`` does, with the log-densities [..., D] of the dimensions.

        They are exact even where ``tanh`` saturates.
        """
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        raw = self.mean + jnp.exp(self.log_std) * noise
        # Not recovered from ``raw``: where the deviation is small the noise would drown in rounding.
        density = -(0.5 * jnp.square(noise) + self.log_std + _HALF_LOG_TWO_PI)
        return jnp.tanh(raw), density - _tanh_log_slope(raw)

    def sample_and_log_prob(self, key: Key) -> tuple[jax.Array, jax.Array]:
        """Draw as ``sample`` does, with the log-densities [...]."""
        action, log_probs = self.sample_and_component_log_prob(key)
        return action, log_probs.sum(-1)

    def mode(self) -> jax.Array:
        """The median, float [..., D]: the tangent of the Gaussian's mean."""
        return jnp.tanh(self.mean)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-densities [...] of actions [..., D], which are first held 1e-6 inside the bounds."""
        raw = jnp.arctanh(jnp.clip(action, -1.0 + 1e-6, 1.0 - 1e-6))
        return Normal(self.mean, self.log_std).log_prob(raw) - _tanh_log_slope(raw).sum(-1)

    def entropy_estimate(self, key: Key) -> jax.Array:
        """Unbiased estimate [...] of the entropy from one draw; there is no closed form."""
        return -self.sample_and_log_prob(key)[1]


Distribution = Categorical | FactoredCategorical | Normal


def policy_of(space: ActionSpace, outputs: Any, action_mask: jax.Array | None) -> Distribution:
    """The distribution over ``space`` that the outputs of a ``PolicyNetwork`` stand for, given the valid actions."""
    match space:
        case Discrete():
            return Categorical(outputs, action_mask)
        case MultiDiscrete(nvec):
            return FactoredCategorical(outputs, nvec, action_mask)
        case Box():
            return Normal(*outputs)


def _expectation(probs: jax.Array, values: jax.Array) -> jax.Array:
    """Mean of ``values`` over the last axis; those of probability 0 do not count, in the gradient either."""
    return jnp.sum(probs * jnp.where(probs > 0.0, values, 0.0), -1)


def _run_lengths(nvec: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of a size and how often it repeats, in order."""
    return [(size, len(list(run))) for size, run in itertools.groupby(nvec)]


def _fold(x: jax.Array, size: int) -> jax.Array:
    """Reshape [..., length * size] to [..., length, size]."""
    return x.reshape(*x.shape[:-1], -1, size)


def _normal_log_density(noise: jax.Array, log_std: jax.Array) -> jax.Array:
    """Log-density of ``mean + exp(log_std) * noise``, summed over the last axis."""
    return -(0.5 * jnp.square(noise) + log_std + _HALF_LOG_TWO_PI).sum(-1)


def _tanh_log_slope(x: jax.Array) -> jax.Array:
    """``log(1 - tanh(x)**2)`` without the cancellation."""
    return 2.0 * (math.log(2.0) - x - jax.nn.softplus(-2.0 * x))
