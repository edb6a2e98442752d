"""Torsos: from an observation, flat or an image, to a vector of features.

Every module accepts any number of leading batch axes.
"""

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from rlx.errors import ConfigurationError, suggest
from rlx.networks.dense import dense, product
from rlx.networks.initialisers import Initialiser, orthogonal
from rlx.networks.inputs import as_float

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "swish": nn.swish,
    "gelu": nn.gelu,
    "elu": nn.elu,
    "leaky_relu": nn.leaky_relu,  # of slope 0.01
}

_KERNEL_INIT = orthogonal(math.sqrt(2))


def activation_function(name: str) -> Callable[[jax.Array], jax.Array]:
    """The elementwise function called ``name``.

    Raises:
        ConfigurationError: if there is none.
    """
    if name not in _ACTIVATIONS:
        options = ", ".join(_ACTIVATIONS)
        raise ConfigurationError(f"unknown activation {name!r}{suggest(name, _ACTIVATIONS)}; choose from {options}")
    return _ACTIVATIONS[name]


def activation_functions(names: str, number: int) -> list[Callable[[jax.Array], jax.Array]]:
    """Those of ``number`` layers, of one name or of several: ``"elu-relu"`` is elu first and relu from then on.

    Raises:
        ConfigurationError: if there is no function of such a name.
    """
    functions = [activation_function(name) for name in names.split("-")]
    return [functions[min(layer, len(functions) - 1)] for layer in range(number)]


class MLP(nn.Module):
    """Dense layers, each followed by the activation; ``[..., F]`` to float32 ``[..., hidden_sizes[-1]]``.

    Attributes:
        hidden_sizes: width of each layer; with none, the flattened input is returned.
        activation: ``"tanh"``, ``"relu"``, ``"swish"``, ``"gelu"``, ``"elu"`` or ``"leaky_relu"``, or several of them
            (`activation_functions`).
        kernel_init: initialiser of the kernels; biases start at zero.
        input_rank: number of trailing axes that make one input; they are flattened into ``F``.
    """

    hidden_sizes: tuple[int, ...]
    activation: str = "tanh"
    kernel_init: Initialiser = _KERNEL_INIT
    input_rank: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the features of ``x``, of any dtype; bytes count as brightness (`rlx.networks.inputs`)."""
        activations = activation_functions(self.activation, len(self.hidden_sizes))
        x = _flatten(as_float(x), self.input_rank)
        for size, activate in zip(self.hidden_sizes, activations, strict=True):
            x = activate(dense(size, self.kernel_init)(x))
        return x


class MinAtarCNN(nn.Module):
    """One convolution of stride 1 without padding, then an MLP (Young and Tian 2019).

    Attributes:
        channels: output channels of the convolution.
        kernel_size: height and width of its kernel.
        hidden_sizes: widths of the dense layers that follow.
        activation: see ``MLP``; also follows the convolution.
        kernel_init: initialiser of all kernels; biases start at zero.
    """

    channels: int = 16
    kernel_size: int = 3
    hidden_sizes: tuple[int, ...] = (128,)
    activation: str = "relu"
    kernel_init: Initialiser = _KERNEL_INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the features of images ``[..., H, W, C]``, of any dtype; see ``MLP`` for bytes."""
        height, width, depth = x.shape[-3:]
        if min(height, width) < self.kernel_size:
            raise ConfigurationError(
                f"an image of {height}x{width} is smaller than the convolution's {self.kernel_size}x"
                f"{self.kernel_size} kernel; flatten the observation in the environment"
            )
        kernel_shape = (self.kernel_size, self.kernel_size, depth, self.channels)
        kernel = self.param("kernel", self.kernel_init, kernel_shape)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        x = activation_function(self.activation)(convolve(as_float(x), kernel) + bias)
        return MLP(self.hidden_sizes, self.activation, self.kernel_init, input_rank=3)(x)


class ResidualBlock(nn.Module):
    """``x + Dense(relu(Dense(LayerNorm(x))))``, a pre-normalised residual block; keeps ``[..., width]``.

    Attributes:
        width: features of the input and the output.
        expansion: width of the hidden layer, in multiples of ``width``.
        kernel_init: initialiser of both kernels; biases start at zero.
    """

    width: int
    expansion: int = 1
    kernel_init: Initialiser = _KERNEL_INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return ``x`` plus the block's correction."""
        chex.assert_axis_dimension(x, -1, self.width)
        hidden = nn.Dense(self.expansion * self.width, kernel_init=self.kernel_init)(nn.LayerNorm()(x))
        return x + nn.Dense(self.width, kernel_init=self.kernel_init)(nn.relu(hidden))


def make_torso(
    obs_shape: tuple[int, ...],
    hidden_sizes: tuple[int, ...],
    activation: str,
    kernel_init: Initialiser = _KERNEL_INIT,
    name: str | None = None,
) -> nn.Module:
    """Return the torso that suits an observation: convolution and MLP for images (rank 3), else a flat MLP.

    Args:
        obs_shape: shape of one observation.
        hidden_sizes: widths of the dense layers.
        activation: see ``MLP``.
        kernel_init: initialiser of all kernels.
        name: name of the submodule, where it is made inside another module.

    Raises:
        ConfigurationError: if the activation is unknown or a width is not positive.
    """
    activation_functions(activation, len(hidden_sizes))
    if any(size < 1 for size in hidden_sizes):
        raise ConfigurationError(f"hidden_sizes={tuple(hidden_sizes)} has a width below 1; leave that layer out")
    if len(obs_shape) == 3:
        return MinAtarCNN(hidden_sizes=hidden_sizes, activation=activation, kernel_init=kernel_init, name=name)
    return MLP(hidden_sizes, activation, kernel_init, input_rank=len(obs_shape), name=name)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlate images with a kernel, stride 1 and no padding, in the form that suits the backend.

    For reverse-mode differentiation only.

    Args:
        x: float32 ``[..., H, W, C]``.
        kernel: ``[kh, kw, C, channels]``.

    Returns:
        ``[..., H - kh + 1, W - kw + 1, channels]``.
    """
    # On CPU the gradient of XLA's convolution inside a scan takes a slow generic path, some 45 times slower.
    form = convolve_by_patches if jax.default_backend() == "cpu" else convolve_directly
    return form(x, kernel)


def convolve_directly(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``convolve`` as one XLA convolution."""
    images = x.reshape((math.prod(x.shape[:-3]), *x.shape[-3:]))
    out = jax.lax.conv_general_dilated(
        images, kernel, window_strides=(1, 1), padding="VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out.reshape((*x.shape[:-3], *out.shape[1:]))


def convolve_by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``convolve`` as a matrix product over patches, which are shifted slices of the image side by side.

    A patch serves a block of up to 2 x 2 outputs where their number is even and the kernel is larger than that: with a
    3 x 3 kernel the product has 1.8 times the operations, but patches take less than half the memory, which limits it.
    """
    kernel_height, kernel_width, _, channels = kernel.shape
    height, width = x.shape[-3] - kernel_height + 1, x.shape[-2] - kernel_width + 1
    down = 2 if height % 2 == 0 and kernel_height > 2 else 1
    right = 2 if width % 2 == 0 and kernel_width > 2 else 1
    slices = [
        x[..., row : row + height : down, column : column + width : right, :]
        for row in range(kernel_height + down - 1)
        for column in range(kernel_width + right - 1)
    ]
    shifted = [
        jnp.pad(kernel, ((row, down - 1 - row), (column, right - 1 - column), (0, 0), (0, 0)))
        for row in range(down)
        for column in range(right)
    ]
    patches = jnp.concatenate(slices, axis=-1)
    blocks = product(patches, jnp.stack(shifted, axis=-2).reshape((patches.shape[-1], -1)))
    blocks = blocks.reshape((*x.shape[:-3], height // down, width // right, down, right, channels))
    return blocks.swapaxes(-4, -3).reshape((*x.shape[:-3], height, width, channels))


def _flatten(x: jax.Array, rank: int) -> jax.Array:
    """Merge the last ``rank`` axes into one; a scalar (``rank`` 0) becomes one feature."""
    split = x.ndim - rank
    return x.reshape((*x.shape[:split], math.prod(x.shape[split:])))
