"""Critics of factored actions: from an observation to the utility of every choice of every component.

The torsos are those of the REValueD authors' code and of DecQN's first release (Seyde et al. 2023); the dueling head is
that of action branching (Tavakoli et al. 2018). All members of an ensemble are one stacked network: their matrix
products are batched.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlx.components import by_component
from rlx.networks.initialisers import Initialiser, symmetric_uniform, zeros
from rlx.networks.inputs import as_float


class MemberDense(nn.Module):
    """A dense layer of each of ``K`` members, from ``[K, ..., F]`` or, of all, ``[..., F]`` to ``[K, ..., features]``.

    Attributes:
        num_members: ``K``.
        features: outputs of each.
        as_released_2022: kernels uniform by fan-out and biases of zero; else both uniform in ``±1 / sqrt(F)``.
        shared_input: whether the input has no member axis.
    """

    num_members: int
    features: int
    as_released_2022: bool = False
    shared_input: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply every member to its input."""
        fan_in = x.shape[-1]
        kernel_init, bias_init = initialisers(fan_in, self.features, self.as_released_2022)
        kernel = self.param("kernel", kernel_init, (self.num_members, fan_in, self.features))
        bias = self.param("bias", bias_init, (self.num_members, self.features))
        if self.shared_input:
            x = jnp.broadcast_to(x, (self.num_members, *x.shape))
        out = member_products(x.reshape(self.num_members, -1, fan_in), kernel) + bias[:, None]
        return out.reshape(*x.shape[:-1], self.features)


@jax.custom_vjp
def member_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Products ``[K, B, O]`` of each member's ``x`` ``[K, B, F]`` and ``kernel`` ``[K, F, O]``.

    Its gradient is written out, since that of JAX has the kernel's transposed: on CPU every pass of clipping and Adam
    then went through it by columns, and an update of ten critics took 15 % longer.
    """
    return jnp.einsum("kbf,kfo->kbo", x, kernel)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return member_products(x, kernel), (x, kernel)


def _backward(factors: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = factors
    return jnp.einsum("kbo,kfo->kbf", gradient, kernel), jnp.einsum("kbf,kbo->kfo", x, gradient)


member_products.defvjp(_forward, _backward)


def initialisers(fan_in: int, fan_out: int, as_released_2022: bool) -> tuple[Initialiser, Initialiser]:
    """Of kernel and bias: uniform in ``±1 / sqrt(fan_in)``, or as in 2022 in ``±sqrt(0.999 / fan_out)`` and zero."""
    if as_released_2022:
        return symmetric_uniform(math.sqrt(0.999 / fan_out)), zeros
    bound = 1.0 / math.sqrt(fan_in)
    return symmetric_uniform(bound), symmetric_uniform(bound)


class DecoupledCritics(nn.Module):
    """An ensemble of decoupled critics.

    Attributes:
        nvec: number of choices of each component.
        num_members: ``K``.
        width: of the torso's layers.
        obs_rank: number of axes of one observation; they are flattened.
        as_released_2022: the torso and initialisation of DecQN's first release, ``elu(norm(h + W2 relu(W1 h)))``; else
            the REValueD authors' ``norm(h + relu(W2 relu(W1 h)))``.
        shared_norm: whether all members have one scale and offset after the normalisation, as in the authors' code.
        dueling: units of the hidden layer of each branch and of the value: ``V + A_i - mean(A_i)`` (Tavakoli et al.
            2018, equation 1); 0 for a linear head.
    """

    nvec: tuple[int, ...]
    num_members: int
    width: int
    obs_rank: int = 1
    as_released_2022: bool = False
    shared_norm: bool = True
    dueling: int = 0

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Utilities ``[K, ..., N, n]`` of observations ``[..., *obs_shape]``; what a component lacks has no meaning."""
        features = self.torso(as_float(obs.reshape(*obs.shape[: obs.ndim - self.obs_rank], -1)))
        if not self.dueling:
            return by_component(self.dense(sum(self.nvec), "head")(features), self.nvec)
        # The released code of action branching divides the torso's gradient by the number of heads.
        features = scaled_gradient(features, 1.0 / (len(self.nvec) + 1))
        value = self.dense(1, "value")(nn.relu(self.dense(self.dueling, "value_hidden")(features)))
        branches = [self.branch(features, index) for index in range(len(self.nvec))]
        return value[..., None] + jnp.stack(branches, axis=-2)

    def torso(self, x: jax.Array) -> jax.Array:
        """Features ``[K, ..., width]``."""
        hidden = self.dense(self.width, "input", shared_input=True)(x)
        correction = self.dense(self.width, "residual_2")(nn.relu(self.dense(self.width, "residual_1")(hidden)))
        if self.as_released_2022:
            return nn.elu(self.normalised(hidden + correction))
        return self.normalised(hidden + nn.relu(correction))

    def normalised(self, x: jax.Array) -> jax.Array:
        """Layer normalisation (epsilon 1e-5), with one scale and offset or those of each member."""
        members = 1 if self.shared_norm else self.num_members
        scale = self.param("norm_scale", nn.initializers.ones, (members, self.width))
        offset = self.param("norm_offset", nn.initializers.zeros, (members, self.width))
        axes = range(1, x.ndim - 1)
        return jax.nn.standardize(x, epsilon=1e-5) * jnp.expand_dims(scale, axes) + jnp.expand_dims(offset, axes)

    def branch(self, features: jax.Array, index: int) -> jax.Array:
        """Centred advantages ``[K, ..., n]`` of one component."""
        size, largest = self.nvec[index], max(self.nvec)
        hidden = nn.relu(self.dense(self.dueling, f"branch_{index}_hidden")(features))
        advantage = self.dense(size, f"branch_{index}")(hidden)
        advantage = advantage - advantage.mean(axis=-1, keepdims=True)
        return jnp.pad(advantage, [(0, 0)] * (advantage.ndim - 1) + [(0, largest - size)])

    def dense(self, features: int, name: str, **options: Any) -> MemberDense:
        """A layer of every member."""
        return MemberDense(self.num_members, features, self.as_released_2022, name=name, **options)


def scaled_gradient(x: jax.Array, scale: float) -> jax.Array:
    """``x`` itself, whose gradient is ``scale`` times what it would be."""
    return scale * x + jax.lax.stop_gradient((1.0 - scale) * x)
