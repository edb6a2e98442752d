"""Convolutional networks with PyTorch's default weights, from an observation to outputs.

Every layer draws kernel and bias from ``±1 / sqrt(fan_in)``. Every network accepts any number of leading batch axes.
"""

import math
from typing import NamedTuple

import jax
from flax import linen as nn

from rlx.networks.dense import linear
from rlx.networks.initialisers import fan_in_uniform, symmetric_uniform
from rlx.networks.inputs import as_float
from rlx.networks.torsos import convolve


class ConvLayer(NamedTuple):
    """A convolution of stride 1 without padding, and the square of its outputs of which only the largest goes on."""

    channels: int
    kernel_size: int
    pool: int = 1


class ConvNetwork(nn.Module):
    """Convolutions, then dense layers, with ReLU after each; then a linear layer.

    Attributes:
        layers: the convolutions.
        hidden_sizes: widths of the dense layers.
        num_outputs: width of the last layer; ``None`` gives a single number without an axis.
    """

    layers: tuple[ConvLayer, ...]
    hidden_sizes: tuple[int, ...]
    num_outputs: int | None

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Return ``[..., num_outputs]``, or ``[...]``, from images ``[..., H, W, C]``, see `as_float`."""
        x = as_float(obs)
        for number, layer in enumerate(self.layers):
            x = nn.relu(largest(self._convolution(x, layer, number), layer.pool))
        x = x.reshape((*x.shape[:-3], math.prod(x.shape[-3:])))
        for size in self.hidden_sizes:
            x = nn.relu(linear(x, size))
        outputs = linear(x, self.num_outputs or 1)
        return outputs if self.num_outputs else outputs.squeeze(-1)

    def _convolution(self, x: jax.Array, layer: ConvLayer, number: int) -> jax.Array:
        shape = (layer.kernel_size, layer.kernel_size, x.shape[-1], layer.channels)
        kernel = self.param(f"kernel_{number}", fan_in_uniform(), shape)
        bias_init = symmetric_uniform(1.0 / math.sqrt(math.prod(shape[:-1])))
        return convolve(x, kernel) + self.param(f"bias_{number}", bias_init, (layer.channels,))


def largest(x: jax.Array, size: int) -> jax.Array:
    """The largest of each ``size`` x ``size`` square of ``[..., H, W, C]``; rows and columns left over are cut off."""
    if size == 1:
        return x
    height, width = x.shape[-3] // size, x.shape[-2] // size
    x = x[..., : height * size, : width * size, :]
    return x.reshape((*x.shape[:-3], height, size, width, size, x.shape[-1])).max((-4, -2))


# Of Huang and Ontañón 2022 (table 5) by the shape of a microRTS observation, each with a dense layer of 128 on top.
MAP_TRUNKS = {
    (4, 4, 27): (ConvLayer(16, 2),),
    (10, 10, 27): (ConvLayer(16, 3), ConvLayer(32, 3)),
    (16, 16, 27): (ConvLayer(16, 3), ConvLayer(32, 3)),
    (24, 24, 27): (ConvLayer(16, 3, pool=2), ConvLayer(32, 2, pool=2)),
}
