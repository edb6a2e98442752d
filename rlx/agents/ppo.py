"""Proximal policy optimisation: Schulman et al. 2017, with generalised advantages (Schulman et al. 2016).

One learning event: ``num_envs`` x ``rollout_length`` transitions, advantages computed once, then ``num_epochs``
passes over the batch in ``num_minibatches`` minibatches of the clipped surrogate. The stages are functions of
their own, for agents that change one of them.
"""

import dataclasses
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.networks import running_statistics
from rlx.networks.heads import PolicyNetwork, ValueNetwork
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import optimisers, policy_loss, returns
from rlx.ops.distributions import Categorical, FactoredCategorical, Normal
from rlx.ops.optimisers import Optimiser
from rlx.ops.shuffle import shuffled_indices
from rlx.settings import hyper
from rlx.types import Box, Clock, Discrete, EnvSpec, Key, Metrics, Mode, MultiDiscrete, PyTree, Timestep, Transition

Distribution = Categorical | FactoredCategorical | Normal


@struct.dataclass
class PPOState:
    """Parameters of both networks, the optimiser's state, and the statistics of all observations seen."""

    params: PyTree
    opt_state: PyTree
    statistics: RunningStatistics | None


@struct.dataclass
class Batch:
    """What the surrogate loss needs of each transition; leading axis ``[T * N]``, or none inside the loss."""

    obs: jax.Array
    action: jax.Array
    action_mask: jax.Array | None
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    value_target: jax.Array


@struct.dataclass
class PPO:
    """PPO for discrete, factored (both with masks) and continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete, Box)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = hyper(64, "parallel environments of one member", within="[1, inf)", static=True)
    rollout_length: int = hyper(64, "steps of each environment in one learning event", within="[1, inf)", static=True)
    num_epochs: int = hyper(4, "passes over the batch", within="[1, inf)", static=True)
    num_minibatches: int = hyper(16, "minibatches a pass", within="[1, inf)", static=True)
    learning_rate: float = hyper(1e-3, "Adam's step size", within="(0, inf)")
    anneal: bool = hyper(True, "lower the learning rate linearly to 0 over total_steps", static=True)
    discount: float = hyper(0.99, "discount of one step", within="[0, 1]")
    trace_decay: float = hyper(0.95, "lambda of the generalised advantages", within="[0, 1]")
    clip_epsilon: float = hyper(0.2, "clip range of the probability ratio", within="(0, inf)")
    clip_value_loss: bool = hyper(False, "clip the change of the value as that of the policy", static=True)
    value_coefficient: float = hyper(0.5, "weight of the value loss", within="[0, inf)")
    entropy_coefficient: float = hyper(0.01, "weight of the entropy bonus", within="[0, inf)")
    max_grad_norm: float = hyper(0.5, "largest global norm of a gradient", within="(0, inf)")
    normalise_advantages: bool = hyper(True, "standardise the advantages of each minibatch", static=True)
    normalise_observations: bool = hyper(True, "standardise observations by their running statistics", static=True)
    hidden_sizes: tuple[int, ...] = hyper(
        (64, 64), "hidden units of the actor and of the critic", within="[1, inf)", static=True
    )
    activation: str = hyper("tanh", "activation of the hidden layers", choices=("tanh", "relu", "swish"), static=True)

    def init(self, key: Key) -> PPOState:
        """Return a new agent's state.

        Raises:
            ConfigurationError: if the batch cannot be cut into equal minibatches.
        """
        check_minibatches(self.num_envs * self.rollout_length, self.num_minibatches)
        actor_key, critic_key = jax.random.split(key)
        obs = jnp.zeros(self.spec.obs_shape)
        params = {"actor": self.actor.init(actor_key, obs), "critic": self.critic.init(critic_key, obs)}
        return PPOState(
            params=params,
            opt_state=self.optimiser.init(params),
            statistics=running_statistics.init(self.spec.obs_shape) if self.normalise_observations else None,
        )

    def act(self, state: PPOState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Sample actions; their log-probabilities travel with the transitions."""
        policy = self.distribution(state, timestep)
        action = policy.sample(key)
        return action, {"log_prob": policy.log_prob(action)}

    def update(self, state: PPOState, rollout: Transition, key: Key, clock: Clock) -> tuple[PPOState, Metrics]:
        """Run the epochs of the surrogate on one rollout, then take its observations into the statistics."""
        batch = self.make_batch(state, rollout)
        rate = self.learning_rate * (1.0 - clock.progress if self.anneal else 1.0)
        params, opt_state, metrics = minibatch_epochs(
            self.loss,
            self.optimiser,
            rate,
            state.params,
            state.opt_state,
            batch,
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        # After the epochs, so that every ratio starts at exactly 1.
        statistics = state.statistics
        if statistics is not None:
            statistics = running_statistics.update(statistics, rollout.obs)
        return PPOState(params=params, opt_state=opt_state, statistics=statistics), mean_metrics(metrics)

    def policy(self, state: PPOState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state, timestep)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def actor(self) -> PolicyNetwork:
        """Observations to the parameters of the action distribution."""
        return PolicyNetwork(self.spec.action_space, self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def critic(self) -> ValueNetwork:
        """Observations to state values."""
        return ValueNetwork(self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the global gradient norm."""
        return optimisers.adam(max_grad_norm=self.max_grad_norm, eps=1e-5)

    def normalise(self, state: PPOState, obs: jax.Array) -> jax.Array:
        """Observations as the networks see them."""
        return normalised(state.statistics, obs)

    def distribution(self, state: PPOState, timestep: Timestep) -> Distribution:
        """The policy at ``timestep``."""
        outputs = self.actor.apply(state.params["actor"], self.normalise(state, timestep.obs))
        return action_distribution(self.spec, outputs, timestep.action_mask)

    def make_batch(self, state: PPOState, rollout: Transition) -> Batch:
        """Advantages and value targets of a rollout ``[T, N]``, flattened to ``[T * N]``."""
        obs = self.normalise(state, rollout.obs)
        value = self.critic.apply(state.params["critic"], obs)
        next_value = self.critic.apply(state.params["critic"], self.normalise(state, rollout.next_obs))
        advantage = lambda_advantages(rollout, value, next_value, self.discount, self.trace_decay)
        batch = Batch(
            obs=obs,
            action=rollout.action,
            action_mask=rollout.action_mask,
            log_prob=rollout.extras["log_prob"],
            value=value,
            advantage=advantage,
            value_target=advantage + value,
        )
        return flattened(batch)

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Clipped surrogate, value loss and entropy bonus of one minibatch (PPO, eq. 9)."""
        chex.assert_rank([batch.log_prob, batch.advantage, batch.value_target], 1)
        outputs = self.actor.apply(params["actor"], batch.obs)
        policy = action_distribution(self.spec, outputs, batch.action_mask)
        value = self.critic.apply(params["critic"], batch.obs)
        advantage = standardise(batch.advantage) if self.normalise_advantages else batch.advantage

        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        surrogate = mean_surrogate(log_ratio, advantage, self.clip_epsilon)
        value_loss = mean_value_loss(value, batch, self.clip_epsilon if self.clip_value_loss else None)
        entropy = policy.entropy().mean()
        loss = surrogate + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        metrics = {"loss": loss, "policy_loss": surrogate, "value_loss": value_loss, "entropy": entropy}
        return loss, metrics | ratio_metrics(log_ratio, self.clip_epsilon)


def check_minibatches(batch_size: int, num_minibatches: int) -> None:
    """Refuse a batch that cannot be cut into equal minibatches.

    Raises:
        ConfigurationError: if it cannot.
    """
    if batch_size % num_minibatches:
        raise ConfigurationError(
            f"num_envs * rollout_length = {batch_size} cannot be cut into num_minibatches = "
            f"{num_minibatches} equal parts; choose a divisor of {batch_size}"
        )


def normalised(statistics: RunningStatistics | None, obs: jax.Array) -> jax.Array:
    """Observations standardised by ``statistics``, if there are any."""
    return obs if statistics is None else running_statistics.normalise(statistics, obs)


def action_distribution(spec: EnvSpec, outputs: Any, action_mask: jax.Array | None) -> Distribution:
    """The distribution that a ``PolicyNetwork``'s outputs stand for in ``spec``'s action space."""
    match spec.action_space:
        case Discrete():
            return Categorical(outputs, action_mask)
        case MultiDiscrete(nvec):
            return FactoredCategorical(outputs, nvec, action_mask)
        case Box():
            return Normal(*outputs)


def without_truncations(rollout: Transition) -> Transition:
    """``rollout`` as if time limits were terminations, as some released code takes them."""
    ended = rollout.terminated | rollout.truncated
    return dataclasses.replace(rollout, terminated=ended, truncated=jnp.zeros_like(ended))


def lambda_advantages(
    rollout: Transition,
    value: jax.Array,
    next_value: jax.Array,
    discount: float | jax.Array,
    trace_decay: float | jax.Array,
) -> jax.Array:
    """Generalised advantages ``[T, N]`` of a rollout, from the values of its states and of those they led to."""
    return jax.vmap(returns.lambda_advantages, in_axes=(1, 1, 1, 1, 1, None, None), out_axes=1)(
        rollout.reward, value, next_value, rollout.terminated, rollout.truncated, discount, trace_decay
    )


def flattened(batch: Batch) -> Batch:
    """``batch`` with one leading axis ``[T * N]`` in place of ``[T, N]``."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def standardise(x: jax.Array) -> jax.Array:
    """``x`` shifted and scaled to mean 0 and standard deviation 1."""
    return (x - x.mean()) / (x.std() + 1e-8)


def mean_surrogate(log_ratio: jax.Array, advantage: jax.Array, clip_epsilon: float | jax.Array) -> jax.Array:
    """The clipped surrogate, averaged over a minibatch ``[B]``."""
    losses = jax.vmap(policy_loss.clipped_surrogate, in_axes=(0, 0, None))(log_ratio, advantage, clip_epsilon)
    return losses.mean()


def mean_value_loss(value: jax.Array, batch: Batch, clip_epsilon: float | jax.Array | None) -> jax.Array:
    """Half the squared error of values ``[B]``, averaged; held near the old values unless ``clip_epsilon`` is None."""
    if clip_epsilon is None:
        return (0.5 * jnp.square(value - batch.value_target)).mean()
    losses = jax.vmap(policy_loss.clipped_value_loss, in_axes=(0, 0, 0, None))(
        value, batch.value, batch.value_target, clip_epsilon
    )
    return losses.mean()


def ratio_metrics(log_ratio: jax.Array, clip_epsilon: float | jax.Array) -> Metrics:
    """How far the policy has moved from the one that collected the data: ``approx_kl`` and ``clip_fraction``."""
    return {
        "approx_kl": policy_loss.approx_kl(log_ratio).mean(),
        "clip_fraction": (jnp.abs(jnp.expm1(log_ratio)) > clip_epsilon).mean(),
    }


def minibatch_epochs(
    loss: Any,
    optimiser: Optimiser,
    learning_rate: float | jax.Array,
    params: PyTree,
    opt_state: PyTree,
    batch: PyTree,
    key: Key,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[PyTree, PyTree, Metrics]:
    """Descend ``loss(params, minibatch) -> (loss, metrics)`` over shuffled minibatches of ``batch`` ``[B, ...]``.

    Minibatches are gathered by index inside the scan; the indices come from a bijection of ``range(B)`` that is
    new in each epoch, so each epoch visits each row once without sorting or copying the batch.

    Returns:
        The parameters, the optimiser's state, and the metrics of each update, ``[num_epochs * num_minibatches]``.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    minibatch_size = size // num_minibatches
    epoch_keys = jax.random.split(key, num_epochs)
    starts = jnp.arange(num_minibatches) * minibatch_size

    def step(carry: PyTree, which: tuple[Key, jax.Array]) -> tuple[PyTree, Metrics]:
        params, opt_state = carry
        indices = shuffled_indices(which[0], size, which[1], minibatch_size)
        minibatch = jax.tree.map(lambda x: x[indices], batch)
        grads, metrics = jax.grad(loss, has_aux=True)(params, minibatch)
        return optimiser.step(grads, opt_state, params, learning_rate), metrics

    order = (jnp.repeat(epoch_keys, num_minibatches), jnp.tile(starts, num_epochs))
    (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), order)
    return params, opt_state, metrics


def mean_metrics(metrics: Metrics) -> Metrics:
    """Metrics ``[updates]`` of the updates of one learning event as the loop takes them: averaged, and their number."""
    updates = jax.tree.leaves(metrics)[0].shape[0]
    return jax.tree.map(jnp.mean, metrics) | {"updates": jnp.float32(updates)}
