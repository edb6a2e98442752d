"""Symphony's network: a normalised layer, one of rectified sine waves, a linear head (Ishuov et al. 2025, figure 8).

Weights and biases begin as PyTorch's.
"""

import math

import jax
from flax import linen as nn

from rlx.networks.dense import linear
from rlx.networks.gradient_dropout import gradient_dropout
from rlx.networks.initialisers import symmetric_uniform
from rlx.networks.sine import sine
from rlx.types import Key

KEPT = 0.5  # share of gradients that dropout leaves


class ReSine(nn.Module):
    """``resine`` with a trainable scale ``sigmoid(s)`` of each unit, ``s ~ U(-1 / sqrt(F), 1 / sqrt(F))``."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Of ``[..., F]``."""
        size = x.shape[-1]
        s = self.param("s", symmetric_uniform(1.0 / math.sqrt(size)), (size,))
        return resine(x, jax.nn.sigmoid(s))


def resine(x: jax.Array, scale: jax.Array) -> jax.Array:
    """``f sigmoid(1.5 f / S)`` with ``f = S sin(x / S)``, for scales ``S`` in (0, 1)."""
    wave = sine(x / scale)
    return scale * wave * jax.nn.sigmoid(1.5 * wave)


class SineNetwork(nn.Module):
    """``Linear, LayerNorm, Linear, ReSine, Linear``, with nothing between the normalisation and the second layer.

    Attributes:
        width: of both hidden layers.
        size: number of outputs.
        activation: ``"resine"``, or ``"silu"`` in its place.
    """

    width: int
    size: int
    activation: str = "resine"

    @nn.compact
    def __call__(self, x: jax.Array, key: Key | None = None) -> jax.Array:
        """Outputs ``[..., size]`` of ``[..., F]``; with a key, half of their gradients are dropped."""
        x = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)(linear(x, self.width))
        x = linear(x, self.width)
        x = ReSine()(x) if self.activation == "resine" else nn.silu(x)
        x = linear(x, self.size)
        return x if key is None else gradient_dropout(x, key, KEPT)
