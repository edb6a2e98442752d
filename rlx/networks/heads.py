"""Networks from an observation to what an agent needs: a policy's parameters, a value, action values.

Every network takes observations ``[..., *obs_shape]`` of any dtype, and keeps its parameters under ``torso``
and ``head`` unless it says otherwise. Agents turn the outputs into distributions.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlx.networks.initialisers import Initialiser, glorot_uniform, lecun_normal, orthogonal, zeros
from rlx.networks.torsos import MLP, make_torso
from rlx.types import ActionSpace, Box, Discrete, MultiDiscrete


class PolicyNetwork(nn.Module):
    """Parameters of a distribution over actions; near uniform, or zero mean and unit deviation, at the start.

    Attributes:
        action_space: space of one action.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        squash_mean: whether the mean of continuous actions is a hyperbolic tangent.
    """

    action_space: ActionSpace
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    squash_mean: bool = False

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Return the distribution's parameters.

        Returns:
            Discrete: logits ``[..., A]``. MultiDiscrete: logits ``[..., sum(nvec)]``, component by component.
            Box: mean and log standard deviation, both ``[..., D]``; the latter is a parameter ``log_std [D]``
            that does not depend on the observation.
        """
        features = make_torso(self.obs_shape, self.hidden_sizes, self.activation, name="torso")(obs)
        outputs = _dense_head(features, _num_outputs(self.action_space), orthogonal(0.01), "head")
        if not isinstance(self.action_space, Box):
            return outputs
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_space.size,))
        return jnp.tanh(outputs) if self.squash_mean else outputs, jnp.broadcast_to(log_std, outputs.shape)


class PreferenceNetwork(nn.Module):
    """Preferences for actions, or a Gaussian's parameters, that are linear without hidden layers.

    Then there are no biases and all parameters start at zero: of a one-hot observation it is a table.

    Attributes:
        action_space: space of one action.
        hidden_sizes: widths of the torso's dense layers, if there are any.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        kernel_init: initialiser of kernels where there are hidden layers; biases start at zero.
    """

    action_space: ActionSpace
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    kernel_init: Initialiser = lecun_normal()

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Return what `PolicyNetwork` returns, with a log standard deviation of the observation, 0 at the start."""
        deep, rank = bool(self.hidden_sizes), len(self.obs_shape)
        if deep:
            torso = make_torso(self.obs_shape, self.hidden_sizes, self.activation, self.kernel_init, name="torso")
        else:
            torso = MLP((), input_rank=rank, name="torso")
        features = torso(obs)
        size, init = _num_outputs(self.action_space), self.kernel_init if deep else zeros
        outputs = nn.Dense(size, use_bias=deep, kernel_init=init, name="head")(features)
        if not isinstance(self.action_space, Box):
            return outputs
        log_std = nn.Dense(size, use_bias=deep, kernel_init=zeros, name="log_std")(features)
        return outputs, log_std


class ValueNetwork(nn.Module):
    """The value of an observation.

    Attributes:
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
    """

    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Return values ``[...]``."""
        features = make_torso(self.obs_shape, self.hidden_sizes, self.activation, name="torso")(obs)
        return _dense_head(features, 1, orthogonal(1.0), "head").squeeze(-1)


class GaussianNetwork(nn.Module):
    """Mean and log standard deviation of a Gaussian over actions, both of the observation (Haarnoja et al. 2018).

    The linear heads ``mean`` and ``log_std`` share one torso.

    Attributes:
        size: dimensions ``D`` of an action.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        kernel_init: initialiser of all kernels; biases start at zero.
    """

    size: int
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    kernel_init: Initialiser = glorot_uniform()

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and log standard deviation, both ``[..., D]``; the latter lies in [-20, 2]."""
        torso = make_torso(self.obs_shape, self.hidden_sizes, self.activation, self.kernel_init, name="torso")
        features = torso(obs)
        mean = _dense_head(features, self.size, self.kernel_init, "mean")
        log_std = _dense_head(features, self.size, self.kernel_init, "log_std")
        return mean, jnp.clip(log_std, -20.0, 2.0)


class DeterministicNetwork(nn.Module):
    """One action of an observation (Lillicrap et al. 2016).

    Attributes:
        size: dimensions ``D`` of an action.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        kernel_init: initialiser of all kernels; biases start at zero.
    """

    size: int
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    kernel_init: Initialiser = glorot_uniform()

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Return actions ``[..., D]``, hyperbolic tangents."""
        torso = make_torso(self.obs_shape, self.hidden_sizes, self.activation, self.kernel_init, name="torso")
        return jnp.tanh(_dense_head(torso(obs), self.size, self.kernel_init, "head"))


class PairNetwork(nn.Module):
    """What follows from an observation and an action: ``size`` numbers.

    Attributes:
        size: number of outputs.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        kernel_init: initialiser of the torso's kernels; biases start at zero.
        head_init: initialiser of the head's kernel.
    """

    size: int
    hidden_sizes: tuple[int, ...]
    activation: str
    kernel_init: Initialiser = orthogonal(1.0)
    head_init: Initialiser = orthogonal(1.0)

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Return ``[..., size]`` for observations ``[..., F]`` and actions ``[..., D]``, both float32."""
        pair = jnp.concatenate([obs, action], axis=-1)
        features = make_torso(pair.shape[-1:], self.hidden_sizes, self.activation, self.kernel_init, name="torso")(pair)
        return _dense_head(features, self.size, self.head_init, "head")


class QNetwork(nn.Module):
    """The value of every action of an observation.

    Attributes:
        num_actions: number of actions ``A``.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        dueling: whether values are ``V + A - mean(A)`` (Wang et al. 2016, eq. 9), from linear heads ``value``
            and ``advantage`` on the one torso, in place of one head ``head``.
        kernel_init: initialiser of all kernels; biases start at zero.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    dueling: bool = False
    kernel_init: Initialiser = glorot_uniform()

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Return action values ``[..., A]``."""
        torso = make_torso(self.obs_shape, self.hidden_sizes, self.activation, self.kernel_init, name="torso")
        features = torso(obs)
        if not self.dueling:
            return _dense_head(features, self.num_actions, self.kernel_init, "head")
        value = _dense_head(features, 1, self.kernel_init, "value")
        advantage = _dense_head(features, self.num_actions, self.kernel_init, "advantage")
        return value + advantage - advantage.mean(axis=-1, keepdims=True)


class SignedQNetwork(nn.Module):
    """Two outputs for every action, for what it gains and what it loses (van Seijen et al. 2019).

    The linear heads ``positive`` and ``negative`` share one torso.

    Attributes:
        num_actions: number of actions ``A``.
        hidden_sizes: widths of the torso's dense layers.
        activation: see ``MLP``.
        obs_shape: shape of one observation.
        zero_negative: whether the negative head's kernel starts at zero, and not like all others.
        kernel_init: initialiser of the other kernels; biases start at zero.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]
    activation: str
    obs_shape: tuple[int, ...]
    zero_negative: bool = True
    kernel_init: Initialiser = glorot_uniform()

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Return ``[..., A, 2]``, the positive output first."""
        torso = make_torso(self.obs_shape, self.hidden_sizes, self.activation, self.kernel_init, name="torso")
        features = torso(obs)
        positive = _dense_head(features, self.num_actions, self.kernel_init, "positive")
        negative_init = zeros if self.zero_negative else self.kernel_init
        negative = _dense_head(features, self.num_actions, negative_init, "negative")
        return jnp.stack([positive, negative], axis=-1)


def _dense_head(features: jax.Array, size: int, kernel_init: Initialiser, name: str) -> jax.Array:
    return nn.Dense(size, kernel_init=kernel_init, name=name)(features)


def _num_outputs(action_space: ActionSpace) -> int:
    match action_space:
        case Discrete(n):
            return n
        case MultiDiscrete(nvec):
            return sum(nvec)
        case Box(size):
            return size
