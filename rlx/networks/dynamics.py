"""A learned deterministic model of a task: next observation, reward, valid actions and ends of episodes."""

import math

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.networks.heads import PairNetwork
from rlx.networks.inputs import as_float
from rlx.types import ActionSpace, Discrete, EnvSpec, Key, PyTree, Transition


@struct.dataclass
class Prediction:
    """What follows an action.

    Attributes:
        obs: the next observation.
        reward: of the step.
        goes_on: probability that the episode does not end by the task's rules.
        action_mask: the actions that are likely to be valid next; ``None`` if all always are.
    """

    obs: jax.Array
    reward: jax.Array
    goes_on: jax.Array
    action_mask: jax.Array | None


@struct.dataclass
class DynamicsModel:
    """Networks from raw observations and actions to their outcome (Nauman and Cygan 2023, section 5.1).

    Attributes:
        spec: of the task.
        hidden_sizes: hidden units of each network.
        predict_termination: whether to learn where episodes end; else they never do.
    """

    spec: EnvSpec = struct.field(pytree_node=False)
    hidden_sizes: tuple[int, ...] = struct.field(pytree_node=False)
    predict_termination: bool = struct.field(pytree_node=False)

    def init(self, key: Key) -> PyTree:
        """Return parameters by the name of a network."""
        pair = (jnp.zeros(math.prod(self.spec.obs_shape)), jnp.zeros(action_size(self.spec.action_space)))
        keys = jax.random.split(key, len(self.networks))
        named = zip(self.networks.items(), keys, strict=True)
        return {name: network.init(key, *pair) for (name, network), key in named}

    @property
    def networks(self) -> dict[str, PairNetwork]:
        """By what they predict: the next observation itself and not its difference, the reward, and logits.

        Of an end if asked, and of valid actions where there are invalid ones; the paper has neither.
        """
        sizes = {"transition": math.prod(self.spec.obs_shape), "reward": 1}
        if self.predict_termination:
            sizes["termination"] = 1
        if self.spec.has_action_mask:
            sizes["validity"] = action_size(self.spec.action_space)
        return {name: PairNetwork(size, self.hidden_sizes, "leaky_relu") for name, size in sizes.items()}

    def predict(self, params: PyTree, obs: jax.Array, action: jax.Array) -> Prediction:
        """What follows ``action`` in ``obs`` ``[..., *obs_shape]``."""
        outputs = self._outputs(params, obs, action)
        reward = outputs["reward"][..., 0]
        goes_on = jax.nn.sigmoid(-outputs["termination"][..., 0]) if self.predict_termination else jnp.ones_like(reward)
        mask = outputs["validity"] > 0 if self.spec.has_action_mask else None
        return Prediction(outputs["transition"].reshape(obs.shape), reward, goes_on, mask)

    def loss(self, params: PyTree, batch: Transition) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Squared errors of the next observation itself and of the reward, and cross-entropies of the rest.

        Of transitions ``[B]``. Time limits are no terminations, and ``next_obs`` is that before a reset.
        """
        chex.assert_rank(batch.reward, 1)
        outputs = self._outputs(params, batch.obs, batch.action)
        next_obs = flat_observation(self.spec, batch.next_obs)
        losses = {
            "transition_loss": jnp.square(outputs["transition"] - next_obs).mean(),
            "reward_loss": jnp.square(outputs["reward"][..., 0] - batch.reward).mean(),
        }
        if self.predict_termination:
            losses["termination_loss"] = cross_entropy(outputs["termination"][..., 0], batch.terminated)
        if batch.next_action_mask is not None:
            losses["validity_loss"] = cross_entropy(outputs["validity"], batch.next_action_mask)
        return sum(losses.values(), jnp.zeros(())), losses

    def _outputs(self, params: PyTree, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        pair = (flat_observation(self.spec, obs), action_vector(self.spec.action_space, action))
        return {name: network.apply(params[name], *pair) for name, network in self.networks.items()}


def cross_entropy(logits: jax.Array, events: jax.Array) -> jax.Array:
    """Mean of ``-ln p`` of what happened, with the logits of bool ``events``."""
    return (jax.nn.softplus(logits) - events * logits).mean()


def flat_observation(spec: EnvSpec, obs: jax.Array) -> jax.Array:
    """Observations ``[..., *obs_shape]`` as float32 vectors ``[..., F]``."""
    return as_float(obs.reshape(*obs.shape[: obs.ndim - len(spec.obs_shape)], -1))


def action_vector(space: ActionSpace, action: jax.Array) -> jax.Array:
    """Actions as the input of a network, ``[..., D]``: clipped to [-1, 1] as the task does, or one-hot."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.n)
    return jnp.clip(action, -1.0, 1.0)


def action_size(space: ActionSpace) -> int:
    """``D``, the length of ``action_vector``."""
    return space.n if isinstance(space, Discrete) else space.size  # type: ignore[union-attr]
